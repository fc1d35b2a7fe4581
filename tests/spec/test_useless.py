"""Settings that mean nothing beside the others are named, all at once; another family drops what it has no use for."""

from __future__ import annotations

import pytest

from epochal.cli.arguments import apply_sets
from epochal.core.errors import SettingsError
from epochal.core.settings import Project, parse_project, to_document, with_setting
from epochal.core.tables import Train
from epochal.core.tasks import FAMILIES
from epochal.core.useless import refuse_useless, said_of_idle, useless_settings


def project(
    family: str = "mlp", *, task: str = "classification", split: dict | None = None, **train: object
) -> Project:
    """A project with these settings of [train]."""
    return parse_project(
        {
            "name": "p",
            "goal": {"task": task},
            "columns": {"target": "y"},
            "split": split or {},
            "model": {"family": family} if family else {},
            "train": train,
        }
    )


def named(found: Project) -> list[str]:
    """The paths of its useless settings."""
    return [u.path for u in useless_settings(found)]


class TestASetting:
    @pytest.mark.parametrize("family", [*(name for name, kind in FAMILIES.items() if not kind.open), ""])
    def test_at_its_default_is_never_useless(self, family):
        for task in ("classification", "regression"):
            assert named(project(family, task=task, split={"validation": 0.0})) == []

    def test_that_its_family_has_no_use_for_is(self):
        assert named(project("trees", batch_size=64, schedule="cosine")) == ["train.batch_size", "train.schedule"]
        assert named(project("mlp", batch_size=64, schedule="cosine")) == []

    def test_momentum_is_without_sgd(self):
        assert named(project(momentum=0.5)) == ["train.momentum"]
        assert named(project(momentum=0.5, optimiser="sgd")) == []

    @pytest.mark.parametrize(
        ("name", "value"), [("label_smoothing", 0.1), ("class_weights", "balanced"), ("sampling", "balanced")]
    )
    def test_about_classes_is_where_a_number_is_learnt(self, name, value):
        assert named(project(task="regression", **{name: value})) == [f"train.{name}"]
        assert named(project(**{name: value})) == []

    def test_sampling_is_where_rows_are_fed_gradually(self):
        assert named(project(feed="gradual", sampling="balanced")) == ["train.sampling"]

    def test_class_weights_are_where_classes_come_alike_often(self):
        assert named(project(class_weights="balanced", sampling="balanced")) == ["train.class_weights"]

    @pytest.mark.parametrize(("name", "value"), [("feed_by", "trust"), ("feed_stages", 3)])
    def test_about_gradual_feeding_is_where_all_rows_come_at_once(self, name, value):
        assert named(project(**{name: value})) == [f"train.{name}"]
        assert named(project(feed="gradual", **{name: value})) == []

    def test_which_values_come_first_is_without_a_column(self):
        assert named(project(feed="gradual", feed_first="low")) == ["train.feed_first"]
        assert named(project(feed="gradual", feed_first="low", feed_by="trust")) == []

    def test_more_pieces_than_a_batch_has_rows_are(self):
        assert named(project(batch_size=32, accumulate=64)) == ["train.accumulate"]
        assert named(project(batch_size=32, accumulate=32)) == []
        assert named(project(batch_size="auto", accumulate=64)) == []

    @pytest.mark.parametrize(("name", "value"), [("patience", 5), ("schedule", "plateau")])
    def test_that_looks_at_validation_rows_is_where_there_are_none(self, name, value):
        assert named(project(split={"validation": 0.0}, **{name: value})) == [f"train.{name}"]
        assert named(project(split={"validation": 0.1}, **{name: value})) == []
        assert named(project(split={"kind": "column", "column": "fold", "validation": 0.0}, **{name: value})) == []

    @pytest.mark.parametrize(("option", "other", "value"), [("rounds", "epochs", 9), ("rate", "learning_rate", 0.1)])
    def test_of_trees_is_where_training_says_it_by_another_name(self, option, other, value):
        trees = with_setting(project("trees"), f"model.{option}", value)

        assert named(trees) == []
        assert named(with_setting(trees, f"train.{other}", value)) == [f"model.{option}"]

    @pytest.mark.parametrize(
        ("part", "name", "value"),
        [
            ("loss", "class_weights", "balanced"),
            ("loss", "label_smoothing", 0.1),
            ("batches", "batch_size", 64),
            ("batches", "sampling", "balanced"),
            ("batches", "feed", "gradual"),
        ],
    )
    def test_is_beside_a_part_of_a_persons_own_model_that_stands_for_it(self, part, name, value):
        own = with_setting(project("", **{name: value}), "model.module", "model.py:Net")

        assert [u.path for u in useless_settings(own, (part,))] == [f"train.{name}"]
        assert useless_settings(own, {"loss", "parameter_groups", "prepare", "batches"} - {part}) == ()
        with pytest.raises(SettingsError, match="the model"):
            refuse_useless(own, (part,))

    def test_is_told_with_its_value_its_reason_and_its_remedy(self):
        (found,) = useless_settings(project("trees", batch_size=64))

        assert (found.value, found.why) == (64, "trees has no use for it")
        assert found.fix() == "take batch_size out of [train]"


def test_all_useless_settings_are_refused_at_once():
    with pytest.raises(SettingsError) as refused:
        refuse_useless(project("trees", batch_size=64, momentum=0.5))

    assert (refused.value.error_code, refused.value.exit_code) == ("useless-setting", 2)
    for name in ("batch_size", "momentum"):
        assert f"train.{name}" in refused.value.what
        assert name in refused.value.fix
    refuse_useless(project("trees"))


def test_what_is_to_be_mended_is_where_it_was_set():
    """In the file, or in the command that was just typed."""
    with pytest.raises(SettingsError) as in_file:
        refuse_useless(project("mlp", momentum=0.5))
    with pytest.raises(SettingsError) as typed:
        refuse_useless(project("mlp", momentum=0.5), overrides={"train.momentum": 0.5})

    assert (in_file.value.where, in_file.value.fix) == ("project.toml", "take momentum out of [train]")
    assert (typed.value.where, typed.value.fix) == ("--set train.momentum", "leave out --set train.momentum")


class TestAnotherFamily:
    def test_drops_what_it_has_no_use_for_and_says_so(self):
        before = project("mlp", batch_size=64, seed=3)
        after = with_setting(before, "model.family", "trees")

        assert after.train == Train(seed=3)
        assert said_of_idle(before, after) == "train.batch_size was dropped: trees has no use for it"
        refuse_useless(after)

    def test_names_all_that_it_drops(self):
        before = project("mlp", batch_size=64, precision="bfloat16")

        told = said_of_idle(before, with_setting(before, "model.family", "trees"))
        assert told == "train.batch_size, train.precision were dropped: trees has no use for them"

    @pytest.mark.parametrize(("before", "after"), [("mlp", "trees"), ("trees", "linear")])
    def test_that_counts_otherwise_begins_with_what_fits_it(self, before, after):
        """Thirty passes are no guess for rounds of trees, nor a rate of theirs for a network's step."""
        set_before = project(before, epochs=30, learning_rate=5.0, seed=3)
        changed = with_setting(set_before, "model.family", after)

        assert changed.train == Train(seed=3)
        assert said_of_idle(set_before, changed) == (
            f"train.epochs, train.learning_rate were set back to auto: {before} and {after} count otherwise"
        )

    def test_keeps_what_was_set_before_there_was_any(self):
        none = project("", epochs=30)

        assert with_setting(none, "model.family", "trees").train.epochs == 30

    def test_that_can_use_them_keeps_them(self):
        before = project("mlp", batch_size=64)
        after = with_setting(before, "model.family", "tabm")

        assert after.train == before.train
        assert said_of_idle(before, after) == ""

    def test_is_no_excuse_to_drop_a_setting_made_later(self):
        trees = with_setting(project("trees"), "train.batch_size", 64)

        assert named(with_setting(trees, "model.family", "trees")) == ["train.batch_size"]
        assert said_of_idle(trees, trees) == ""

    @pytest.mark.parametrize("order", [1, -1])
    def test_drops_nothing_that_was_asked_for_together_with_it(self, order):
        sets = dict([("model.family", "trees"), ("train.batch_size", 64)][::order])

        assert named(apply_sets(project("mlp"), sets)) == ["train.batch_size"]

    def test_of_ones_own_drops_nothing_that_was_asked_for_together_with_its_class(self):
        """A module says the family too."""
        after = apply_sets(project("trees"), {"train.epochs": 5, "model.module": "model.py:Net"})

        assert (after.model.family, after.train.epochs) == ("own", 5)

    def test_comes_first_whatever_the_order_of_its_own_settings(self):
        after = apply_sets(project("trees"), {"model.width": 32, "model.family": "mlp"})

        assert to_document(after)["model"] == {"family": "mlp", "width": 32}
