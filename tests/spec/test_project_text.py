"""Changes of project.toml: what a person wrote stays where it belongs."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.core.settings import Columns, Goal, Model, Project, Source, SplitSettings, Train, to_document
from epochal.core.steps import Step
from epochal.project.outline import comments_in
from epochal.project.read import parse_text
from epochal.project.text import apply, render


HAND_WRITTEN = """\
# Mail of the year.
format = 1
name = "mail"          # the short name

[goal]
question = "Spam?"
at_least = 0.95   # agreed with the team

[[source]]
name = "messages"
uri = "m.csv"

# ---- cleaning ----

# spaces come from the export
[[clean]]
op = "trim"
columns = ["text"]   # all of them

# empty ones say nothing
[[clean]]
op = "filter"
where = "length(text) > 0"
# until the export is fixed

# the marks of the old system
[[clean]]
op = "mark_missing"
values = [
    "?",    # of 2019
    "n/a",  # of 2021
]

# a fifth is held out
[split]
kind = "stratified"
test = 0.2
"""
TRIM, FILTER, MARK = range(3)


def change(text: str, **changes) -> str:
    old = parse_text(text)
    new = replace(old, **changes)
    done = apply(text, old, new)
    assert to_document(parse_text(done)) == to_document(new)
    return done


def steps(text: str) -> tuple[Step, ...]:
    return parse_text(text).clean


def above(text: str, line: str) -> str:
    """The line of the text before the first that reads so."""
    lines = text.splitlines()
    return lines[lines.index(line) - 1]


def comment_above_step(text: str, op: str) -> str:
    lines = text.splitlines()
    return lines[lines.index(f'op = "{op}"') - 2]


def assert_comments_at_home(text: str, *ops: str) -> None:
    homes = {
        "trim": "# spaces come from the export",
        "filter": "# empty ones say nothing",
        "mark_missing": "# the marks of the old system",
    }
    for op in ops:
        assert comment_above_step(text, op) == homes[op]
    assert above(text, "[split]") == "# a fifth is held out"


class TestAStepWithAComment:
    def test_stays_when_one_is_appended(self):
        text = change(HAND_WRITTEN, clean=(*steps(HAND_WRITTEN), Step(op="lower", params={"columns": ("text",)})))
        assert_comments_at_home(text, "trim", "filter", "mark_missing")
        assert text.index('op = "lower"') < text.index("# a fifth is held out")
        assert text.replace('[[clean]]\nop = "lower"\ncolumns = ["text"]\n\n', "") == HAND_WRITTEN

    def test_stays_when_one_is_put_first(self):
        text = change(HAND_WRITTEN, clean=(Step(op="lower", params={"columns": ("text",)}), *steps(HAND_WRITTEN)))
        assert_comments_at_home(text, "trim", "filter", "mark_missing")
        assert text.replace('[[clean]]\nop = "lower"\ncolumns = ["text"]\n\n', "") == HAND_WRITTEN

    @pytest.mark.parametrize("gone", [TRIM, FILTER, MARK])
    def test_goes_with_it_when_it_is_deleted_and_the_others_stay(self, gone):
        left = tuple(s for i, s in enumerate(steps(HAND_WRITTEN)) if i != gone)
        text = change(HAND_WRITTEN, clean=left)
        assert_comments_at_home(text, *(s.op for s in left))
        assert len(comments_in(text)) < len(comments_in(HAND_WRITTEN))
        assert "# ---- cleaning ----\n\n" in text
        assert "\n\n\n" not in text

    def test_goes_along_when_steps_are_moved(self):
        trim, where, mark = steps(HAND_WRITTEN)
        text = change(HAND_WRITTEN, clean=(mark, trim, where))
        assert_comments_at_home(text, "trim", "filter", "mark_missing")
        assert sorted(text) == sorted(HAND_WRITTEN)
        assert change(text, clean=tuple(steps(text)[i] for i in (1, 2, 0))) == HAND_WRITTEN

    def test_stays_when_it_is_edited(self):
        trim, where, mark = steps(HAND_WRITTEN)
        edited = replace(where, params={"where": "length(text) > 3"}, enabled=False)
        text = change(HAND_WRITTEN, clean=(trim, edited, mark))
        assert_comments_at_home(text, "trim", "filter", "mark_missing")
        assert 'where = "length(text) > 3"\nenabled = false\n# until the export is fixed\n' in text
        assert change(
            text, clean=(steps(text)[0], replace(edited, params=where.params, enabled=True), steps(text)[2])
        ) == (HAND_WRITTEN)

    def test_goes_when_all_are_deleted_but_not_the_heading_nor_the_tables(self):
        text = change(HAND_WRITTEN, clean=())
        assert "[[clean]]" not in text
        assert "# ---- cleaning ----" in text
        assert above(text, "[split]") == "# a fifth is held out"

    def test_is_known_from_an_equal_one_by_being_the_same_object(self):
        twice = 'name = "x"\n\n# first\n[[clean]]\nop = "trim"\ncolumns = ["a"]\n\n# second\n[[clean]]\nop = "trim"\ncolumns = ["a"]\n'
        old = parse_text(twice)
        assert "# first" not in apply(twice, old, replace(old, clean=old.clean[1:]))
        assert "# second" not in apply(twice, old, replace(old, clean=old.clean[:1]))

    def test_takes_the_table_inside_it_along(self):
        text = 'name = "x"\n\n# one\n[[clean]]\nop = "map_values"\ncolumn = "a"\n[clean.mapping]\nu = "v" # why\n\n# two\n[[clean]]\nop = "trim"\ncolumns = ["a"]\n'
        old = parse_text(text)
        moved = apply(text, old, replace(old, clean=old.clean[::-1]))
        assert moved.index("# two") < moved.index("# one") < moved.index('u = "v" # why')
        mapped = replace(old.clean[0], params={"column": "a", "mapping": {"u": "w", "x": "y"}})
        edited = change(text, clean=(mapped, old.clean[1]))
        assert 'u = "w" # why\nx = "y"\n' in edited


class TestAnArrayOverSeveralLines:
    def test_keeps_the_comments_of_its_items(self):
        trim, where, _ = steps(HAND_WRITTEN)
        text = change(HAND_WRITTEN, clean=(trim, where, Step(op="mark_missing", params={"values": ("n/a", "-")})))
        assert 'values = [\n    "n/a",  # of 2021\n    "-",\n]' in text
        assert above(text, "values = [") == "# of 2019"

    def test_keeps_its_lines_where_it_has_no_comments(self):
        text = 'name = "x"\n[columns]\nignore = [\n  "a",\n  "b",\n]\n'
        changed = change(text, columns=Columns(ignore=("a", "b", "c")))
        assert 'ignore = [\n    "a",\n    "b",\n    "c",\n]\n' in changed


class TestASetting:
    def test_changes_in_its_place_with_its_comment(self):
        text = change(HAND_WRITTEN, goal=Goal(question="Spam?", at_least=0.97))
        assert text == HAND_WRITTEN.replace("0.95", "0.97")

    def test_is_added_in_the_order_of_its_table(self):
        split = SplitSettings(kind="stratified", validation=0.15, test=0.2, seed=4, fingerprint="f")
        text = change(HAND_WRITTEN, split=split)
        assert text.endswith(
            '[split]\nkind = "stratified"\nvalidation = 0.15\ntest = 0.2\nseed = 4\nfingerprint = "f"\n'
        )

    def test_at_its_default_stays_written_where_a_person_wrote_it(self):
        text = 'name = "x"\n\n[train]\n# enough\nepochs = 10\n'
        assert change(text, train=Train()) == text.replace("10", '"auto"')

    def test_without_a_default_goes_with_its_line(self):
        text = change(HAND_WRITTEN, goal=Goal(question="Spam?"))
        assert "at_least" not in text

    def test_of_a_missing_table_makes_the_table_in_its_place(self):
        text = change(HAND_WRITTEN, columns=Columns(target="label"), model=Model(family="trees"))
        assert text.index("[[source]]") < text.index('[columns]\ntarget = "label"') < text.index("[[clean]]")
        assert text.endswith('test = 0.2\n\n[model]\nfamily = "trees"\n')
        assert_comments_at_home(text, "trim", "filter", "mark_missing")

    def test_kinds_and_cuts_get_tables_of_their_own(self):
        columns = Columns(target="label", kinds={"zip code": "category"})
        text = change(HAND_WRITTEN, columns=columns, split=SplitSettings(kind="stratified", cuts={"ham": (0.2, 0.3)}))
        assert '[columns.kinds]\n"zip code" = "category"\n' in text
        assert "[split.cuts]\nham = [0.2, 0.3]\n" in text
        assert "kinds" not in change(text, columns=Columns(target="label"))

    def test_is_found_however_the_table_is_written(self):
        for written in ("train = { epochs = 3, seed = 1 } # both\n", "train.epochs = 3 # both\ntrain.seed = 1\n"):
            text = f'name = "x"\n{written}'
            changed = change(text, train=Train(epochs=4, seed=1, patience=2))
            assert "# both" in changed
            assert change(changed, train=Train(epochs=3, seed=1)).count("\n") >= text.count("\n")

    def test_family_takes_its_options_with_it(self):
        text = 'name = "x"\n\n[model]\nfamily = "mlp" # quick\nwidth = 64\n'
        assert change(text, model=Model(family="trees")) == text.replace("mlp", "trees").replace("width = 64\n", "")


class TestASource:
    def test_keeps_its_comment_when_another_is_added_before_or_after(self):
        text = 'name = "x"\n\n# the old export\n[[source]]\nname = "a"\nuri = "a.csv" # 2019\n'
        old = parse_text(text)
        more = Source(name="b", uri="b.csv")
        for sources in ((more, *old.sources), (*old.sources, more)):
            done = change(text, sources=sources)
            assert '# the old export\n[[source]]\nname = "a"\nuri = "a.csv" # 2019\n' in done

    def test_keeps_its_comment_when_it_is_edited(self):
        text = 'name = "x"\n\n# the old export\n[[source]]\nname = "a"\nuri = "a.csv" # 2019\n'
        done = change(text, sources=(Source(name="a", uri="a.csv", licence="CC0", sha256="00"),))
        assert done == text + 'licence = "CC0"\nsha256 = "00"\n'


class TestATextLaidOutOtherwise:
    def test_inline_steps_become_tables_and_keep_their_comments(self):
        text = 'name = "x"\nclean = [\n  {op = "trim", columns = ["a"]}, # spaces\n]\n\n# held out\n[split]\nseed = 1\n'
        done = change(text, clean=(*steps(text), Step(op="lower", params={"columns": ("a",)})))
        assert "# spaces" in done
        assert above(done, "[split]") == "# held out"

    def test_each_inline_step_takes_its_own_comments_along(self):
        text = (
            'name = "x"\n# the recipe\nclean = [ # begins\n  # one\n  {op = "trim", columns = ["a"]}, # spaces\n'
            '  # two\n  {op = "lower", columns = [\n    "b", # letters\n  ]},\n  # three\n'
            '  {op = "upper", columns = ["#c"]}\n  # end\n] # all\n'
        )
        one, two, three = steps(text)
        assert change(text, clean=(three, two)) == (
            'name = "x"\n\n# three\n# end\n[[clean]]\nop = "upper"\ncolumns = ["#c"]\n\n'
            '# two\n# letters\n[[clean]]\nop = "lower"\ncolumns = ["b"]\n'
        )
        assert "# the recipe\n# begins\n# one\n# spaces\n# all\n[[clean]]" in change(text, clean=(two, one))

    def test_a_table_inside_a_step_that_stands_far_away(self):
        text = '# top\nname = "x"\n[[clean]] # c\nop = "map_values"\ncolumn = "a"\n# s\n[split]\nseed = 1\n# m\n[clean.mapping]\nu = "v"\n'
        done = change(text, clean=())
        assert above(done, "[split]") == "# s"
        assert "[[clean]]" not in done

    def test_line_ends_of_windows_stay(self):
        text = HAND_WRITTEN.replace("\n", "\r\n")
        done = change(text, clean=steps(text)[::-1], goal=Goal(question="Really?"))
        assert "\n" not in done.replace("\r\n", "")

    def test_a_missing_last_line_end_is_no_trouble(self):
        text = 'name = "x"\n\n[[clean]]\nop = "trim"\ncolumns = ["a"]'
        done = change(text, clean=(Step(op="lower", params={"columns": ("b",)}), *steps(text)))
        assert done.endswith('[[clean]]\nop = "trim"\ncolumns = ["a"]\n')


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
STEPS = st.one_of(
    st.builds(
        lambda op, c: Step(op=op, params={"columns": tuple(c)}),
        st.sampled_from(["trim", "lower", "upper"]),
        st.lists(NAMES, min_size=1, max_size=3),
    ),
    st.builds(
        lambda c, m: Step(op="map_values", params={"column": c, "mapping": m}),
        NAMES,
        st.dictionaries(NAMES, NAMES, max_size=9),
    ),
    st.builds(
        lambda c, v, on: Step(op="fill", params={"columns": (c,), "value": v}, enabled=on),
        NAMES,
        st.one_of(
            NAMES, st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1)
        ),
        st.booleans(),
    ),
)
PROJECTS = st.builds(
    Project,
    name=NAMES,
    goal=st.builds(
        Goal,
        question=st.text(st.characters(codec="utf-8"), max_size=9),
        at_least=st.none() | st.floats(-9, 9),
        assumptions=st.lists(NAMES, max_size=3).map(tuple),
    ),
    sources=st.lists(NAMES, max_size=3, unique=True).map(
        lambda names: tuple(Source(name=n, uri="u", licence=n) for n in names)
    ),
    columns=st.builds(
        Columns, key=NAMES, kinds=st.dictionaries(NAMES, st.sampled_from(["number", "text"]), max_size=3)
    ),
    clean=st.lists(STEPS, max_size=5).map(tuple),
    split=st.builds(
        SplitSettings,
        seed=st.integers(0, 3),
        test=st.sampled_from([0.2, 0.3]),
        cuts=st.dictionaries(NAMES, st.just((0.25, 0.5)), max_size=2),
    ),
    model=st.sampled_from([Model(), Model(family="mlp", options={"width": 8}), Model(family="trees")]),
    train=st.builds(Train, epochs=st.sampled_from(["auto", 3]), seed=st.integers(0, 2)),
)


@given(PROJECTS)
def test_a_new_file_reads_back_as_what_was_decided(project):
    assert to_document(parse_text(render(project, {"": "a\nb", "split": "c"}))) == to_document(project)


@settings(max_examples=150)
@given(PROJECTS, PROJECTS)
def test_any_change_reads_back_as_what_was_decided(old, new):
    text = render(old)
    assert to_document(parse_text(apply(text, old, new))) == to_document(new)


@settings(max_examples=200)
@given(st.data())
def test_comments_stay_with_their_steps_through_any_edits(data):
    """Each step has a comment of its own above it and beside its first line; edits of every sort are made."""
    names = [f"c{i}" for i in range(data.draw(st.integers(1, 5)))]
    gap = data.draw(st.sampled_from(["\n", "\n\n", ""]))
    text = '# top\nname = "x"\n' + gap
    for name in names:
        text += f'# above {name}\n[[clean]] # at {name}\nop = "trim"\ncolumns = ["{name}"]\n{gap}'
    text += "# above split\n[split]\nseed = 1\n"
    project = parse_text(text)
    for fresh in range(data.draw(st.integers(1, 6))):
        clean = list(project.clean)
        at = data.draw(st.integers(0, len(clean)))
        match data.draw(st.sampled_from(["append", "insert", "delete", "move", "disable", "seed"])):
            case "append":
                clean.append(Step(op="lower", params={"columns": (f"new{fresh}",)}))
            case "insert":
                clean.insert(at, Step(op="lower", params={"columns": (f"new{fresh}",)}))
            case "delete" if at < len(clean):
                clean.pop(at)
            case "move" if at < len(clean):
                clean.insert(data.draw(st.integers(0, len(clean) - 1)), clean.pop(at))
            case "disable" if at < len(clean):
                clean[at] = replace(clean[at], enabled=not clean[at].enabled)
            case _:
                project = replace(old := project, split=replace(project.split, seed=project.split.seed + 1))
                text = apply(text, old, project)
        new = replace(project, clean=tuple(clean))
        text, project = apply(text, project, new), new
        assert to_document(parse_text(text)) == to_document(new)
        document = tomllib.loads(text)
        lines = text.splitlines()
        for step in document.get("clean", []):
            name = step["columns"][0]
            if name.startswith("c"):
                header = lines.index(f"# above {name}") + 1
                assert lines[header : header + 3] == [f"[[clean]] # at {name}", 'op = "trim"', f'columns = ["{name}"]']
        assert above(text, "[split]") == "# above split"
        assert text.startswith('# top\nname = "x"\n')
        kept = {step["columns"][0] for step in document.get("clean", [])}
        assert {c for c in comments_in(text) if c.startswith("# above c")} == {
            f"# above {c}" for c in kept if c[0] == "c"
        }
