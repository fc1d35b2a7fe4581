"""The settings: defaults, ranges, choices, changes by a dotted path."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.core.errors import SettingsError
from epochal.core.settings import (
    TABLES,
    Project,
    check_options,
    duration_seconds,
    parse_project,
    table_of,
    to_document,
    with_setting,
)
from epochal.core.split import DEALT_ANEW, fingerprint_of, followed, is_dealt_anew, said_of_change
from epochal.core.tasks import FAMILIES, METRICS, TASKS, families_for


def project(**tables) -> Project:
    return parse_project({"name": "x", **tables})


class TestADuration:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("30 s", 30), ("5 min", 300), ("1.5h", 5400), ("2 days", 172800), ("1 hour", 3600)]
    )
    def test_is_read_as_people_write_it(self, text, seconds):
        assert duration_seconds(text) == seconds

    @pytest.mark.parametrize("text", ["", "5", "min", "0 s", "-1 s", "5 months", "1e9 s", "5 min 3 s", "٥ s"])
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(SettingsError):
            duration_seconds(text)

    @given(st.text(max_size=20))
    def test_is_seconds_or_an_error_for_any_text(self, text):
        try:
            assert duration_seconds(text) > 0
        except SettingsError as refused:
            assert refused.fix  # noqa: PT017 - both ways are right here


class TestAProject:
    def test_needs_only_a_name(self):
        assert to_document(project()) == {"format": 1, "name": "x"}

    @pytest.mark.parametrize("name", [None, "", 5])
    def test_without_a_name_is_refused(self, name):
        with pytest.raises(SettingsError, match="name"):
            parse_project({"name": name})

    def test_of_a_later_format_says_what_to_do(self):
        with pytest.raises(SettingsError) as later:
            parse_project({"format": 2, "name": "x"})
        assert (later.value.error_code, "newer" in later.value.fix) == ("format", True)

    @pytest.mark.parametrize(
        ("tables", "path"),
        [
            ({"goal": {"task": "regression", "metric": "accuracy"}}, ("goal", "metric")),
            ({"split": {"validation": 0.5, "test": 0.5}}, ("split", "test")),
            ({"split": {"kind": "column"}}, ("split", "kind")),
            ({"columns": {"target": "a", "ignore": ["a"]}}, ("columns", "ignore")),
            ({"source": [{"name": "a", "uri": "u"}, {"name": "a", "uri": "v"}]}, ("source", 1)),
            ({"source": [{"name": "a"}]}, ("source", 0)),
            ({"source": {"name": "a"}}, ("source",)),
            ({"clean": [1]}, ("clean",)),
            ({"goal": []}, ("goal",)),
            ({"model": {"width": 8}}, ("model", "width")),
            ({"model": {"family": "mlp", "width": 8.5}}, ("model", "width")),
            ({"model": {"family": "tabm", "embeddings": "x"}}, ("model", "embeddings")),
            ({"train": {"devices": []}}, ("train", "devices")),
            ({"train": {"devices": [-1]}}, ("train", "devices")),
            ({"train": {"devices": [0, 0]}}, ("train", "devices")),
            ({"train": {"devices": 0}}, ("train", "devices")),
            ({"train": {"devices": True}}, ("train", "devices")),
            ({"train": {"host": "slurm"}}, ("train", "host")),
            ({"split": {"values": {"a": []}}}, ("split", "values")),
        ],
    )
    def test_that_does_not_fit_together_is_refused_at_the_place(self, tables, path):
        with pytest.raises(SettingsError) as wrong:
            project(**tables)
        assert wrong.value.path == path
        assert wrong.value.fix

    def test_takes_the_tasks_first_metric_unless_told(self):
        assert project().metric == "accuracy"
        assert project(goal={"task": "regression"}).metric == "rmse"
        assert project(goal={"metric": "f1"}).metric == "f1"

    @pytest.mark.parametrize("family", [n for n, f in FAMILIES.items() if not f.open])
    def test_takes_every_option_of_every_family_at_its_default(self, family):
        options = {o.name: o.default for o in FAMILIES[family].options}
        read = project(model={"family": family, **options})
        assert all(read.model.option(name) == value for name, value in options.items())
        assert all(project(model={"family": family}).model.option(name) == value for name, value in options.items())

    def test_keeps_dates_as_dates(self):
        read = project(source=[{"name": "a", "uri": "u", "retrieved": date(2026, 11, 22)}])
        assert to_document(read)["source"][0]["retrieved"] == date(2026, 11, 22)


class TestEverySetting:
    @pytest.mark.parametrize("table", TABLES)
    def test_has_a_meaning_a_person_can_read(self, table):
        for declared in fields(TABLES[table]):
            assert (table, declared.name) == ("model", "options") or declared.metadata["meaning"].endswith(
                (".", "good", ")")
            )

    @pytest.mark.parametrize("table", TABLES)
    def test_takes_its_own_default(self, table):
        settings = table_of(TABLES[table](), defaults=True)
        settings |= {"name": "n", "uri": "u"} if table == "source" else {}
        project(**{table: [settings] if table == "source" else settings})


class TestSettingByPath:
    def test_changes_one_value(self):
        assert with_setting(project(), "train.epochs", 3).train.epochs == 3
        assert with_setting(project(), "columns.kinds.zip", "category").columns.kinds == {"zip": "category"}
        assert with_setting(project(), "name", "y").name == "y"

    def test_takes_a_column_name_with_dots(self):
        assert with_setting(project(), "columns.kinds.a.b", "text").columns.kinds == {"a.b": "text"}

    @pytest.mark.parametrize(
        "dotted", ["train.epoch", "tarin.epochs", "clean.0", "source.0.uri", "train", "", "train.epochs.x"]
    )
    def test_refuses_what_is_no_setting(self, dotted):
        with pytest.raises(SettingsError):
            with_setting(project(), dotted, 3)

    def test_of_the_only_source_or_of_one_by_its_name(self):
        two = [{"name": "a.b", "uri": "1.csv"}, {"name": "c", "uri": "2.csv"}]

        assert with_setting(project(source=two[:1]), "source.delimiter", ";").sources[0].delimiter == ";"
        assert [s.header for s in with_setting(project(source=two), "source.a.b.header", False).sources] == [
            False,
            None,
        ]
        with pytest.raises(SettingsError, match="which source"):
            with_setting(project(source=two), "source.header", False)
        with pytest.raises(SettingsError, match="no source is called 'd'"):
            with_setting(project(source=two), "source.d.header", False)

    @pytest.mark.parametrize(("key", "value"), [("seed", 1), ("kind", "random"), ("test", 0.3), ("validation", 0.2)])
    def test_that_deals_rows_out_anew_leaves_it_to_the_build_to_drop_what_was_recorded_and_to_say_so(self, key, value):
        before = project(split={"kind": "stratified", "cuts": {"a": [0.1, 0.2]}})
        before = with_setting(before, "split.fingerprint", fingerprint_of("3-ab", before.split, before.columns))
        assert not is_dealt_anew(before.split, before.columns)

        changed = with_setting(before, f"split.{key}", value)

        assert (changed.split.fingerprint, changed.split.cuts) == (before.split.fingerprint, before.split.cuts)
        assert said_of_change(before, changed) == DEALT_ANEW
        dropped = followed(changed.split, changed.columns)
        assert (dropped.fingerprint, dict(dropped.cuts)) == ("", {})

    def test_of_a_split_that_is_set_back_drops_nothing(self):
        before = project(split={"kind": "stratified", "cuts": {"a": [0.1, 0.2]}})
        before = with_setting(before, "split.fingerprint", fingerprint_of("3-ab", before.split, before.columns))

        back = with_setting(with_setting(before, "split.seed", 1), "split.seed", 0)

        assert followed(back.split, back.columns) == before.split

    def test_to_none_takes_it_out(self):
        dated = project(split={"kind": "time", "test_from": "2024-01-01"})
        assert with_setting(dated, "split.test_from", None).split.test_from is None

    def test_of_another_family_drops_the_options_of_the_old(self):
        before = project(model={"family": "mlp", "width": 8})
        assert with_setting(before, "model.family", "trees").model.options == {}
        assert with_setting(before, "model.family", "mlp").model.options == {"width": 8}


class TestTheCatalogue:
    def test_judges_every_task_by_known_metrics(self):
        assert all(name in METRICS for task in TASKS.values() for name in task.metrics)

    def test_has_families_for_every_task(self):
        assert all(families_for(task) for task in TASKS)

    @pytest.mark.parametrize(("metric", "better", "worse"), [("accuracy", 0.9, 0.8), ("rmse", 1.0, 2.0)])
    def test_knows_which_value_is_better(self, metric, better, worse):
        m = METRICS[metric]
        assert m.better(better, worse)
        assert not m.better(worse, better)
        assert not m.better(better, better)
        assert m.better(worse, float("nan"))
        assert not m.better(float("nan"), worse)

    def test_refuses_an_option_beyond_its_range(self):
        with pytest.raises(SettingsError, match="dropout"):
            check_options(FAMILIES["mlp"], {"dropout": 0.95})


class TestAModelOfOnesOwn:
    def model(self, **keys):
        return parse_project({"name": "p", "model": {"family": "own", **keys}}).model

    def test_names_its_class_and_keeps_every_other_key_for_it(self):
        model = self.model(module="nets/model.py:Net", width=64, layers=[32, 16], act="relu", bias=False)

        assert model.options == {
            "module": "nets/model.py:Net",
            "width": 64,
            "layers": (32, 16),
            "act": "relu",
            "bias": False,
        }

    def test_goes_to_a_document_and_back(self):
        project = parse_project({"name": "p", "model": {"family": "own", "module": "m.py:Net", "layers": [1, 2]}})

        assert parse_project(to_document(project)) == project
        assert to_document(project)["model"]["layers"] == [1, 2]

    def test_without_a_class_is_refused_with_how_to_name_it(self):
        with pytest.raises(SettingsError, match="does not say which class") as refused:
            self.model(width=3)

        assert (refused.value.path, refused.value.error_code) == (("model", "family"), "missing-key")
        assert 'module = "FILE.py:CLASS"' in refused.value.fix

    @pytest.mark.parametrize(
        "module", ["model.py", "../m.py:Net", "/m.py:Net", "my-model.py:Net", "m.py:", 3, "m.txt:N"]
    )
    def test_is_named_by_a_file_in_the_project_and_a_class(self, module):
        with pytest.raises(SettingsError) as refused:
            self.model(module=module)

        assert refused.value.path == ("model", "module")

    @pytest.mark.parametrize("value", [{"a": 1}, [[1]], float("inf"), None])
    def test_takes_scalars_and_lists_of_them(self, value):
        with pytest.raises(SettingsError, match="`width`"):
            self.model(module="m.py:Net", width=value)

    @pytest.mark.parametrize("key", ["my-key", "class", "2nd"])
    def test_takes_keys_that_can_be_arguments(self, key):
        with pytest.raises(SettingsError, match="cannot be an argument"):
            self.model(module="m.py:Net", **{key: 1})

    def test_is_taken_by_naming_its_class(self):
        project = with_setting(
            parse_project({"name": "p", "model": {"family": "mlp", "width": 8}}), "model.module", "m.py:N"
        )

        assert (project.model.family, project.model.options) == ("own", {"module": "m.py:N"})

    def test_is_never_offered_unasked(self):
        assert "own" not in [f.name for task in TASKS for f in families_for(task)]
