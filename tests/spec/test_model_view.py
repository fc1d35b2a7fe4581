"""The Model pane: who took the family, and how long training takes as it is set now."""

from __future__ import annotations

from dataclasses import replace

from epochal.core.settings import Columns, Model, Project, Train
from epochal.workbench.flow import Choice
from epochal.workbench.views.model import model_view


PROJECT = Project(name="p", columns=Columns(target="y"), model=Model(family="mlp"))
TRIED = (
    {"family": "mlp", "seconds": 14.0, "seconds_per_epoch": 0.5},
    {"family": "trees", "seconds": 3.0, "seconds_per_epoch": 0.1},
)


def seen(project, chosen="mlp"):
    choice = Choice(chosen=chosen, reason="linear model is taken", candidates=TRIED)
    return model_view(project, choice=choice)


def about(view, family):
    return next(f.about for f in view.families if f.name == family)


def test_what_the_trial_said_is_told_as_its_word_where_a_person_took_another_family():
    assert seen(PROJECT).reason == "linear model is taken"
    assert seen(PROJECT, chosen="linear").reason == "you took mlp; by the trial: linear model would be taken"


def test_the_time_it_takes_is_that_of_the_epochs_that_are_set():
    longer = replace(PROJECT, train=Train(epochs=1000))

    assert (about(seen(PROJECT), "mlp"), about(seen(PROJECT), "trees")) == ("0:14", "0:03")
    assert (about(seen(longer), "mlp"), about(seen(longer), "trees")) == ("8:20", "1:40")
