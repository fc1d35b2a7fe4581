"""Main of the process in which a finished model is loaded: `test RUN_DIR` or `predict RUN_DIR FOLDER`.

It tells its progress and its result as JSON lines on stdout (see `ship.client`); whatever libraries print goes to
stderr. It is nobody's service: one job, then it ends.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from epochal.core.clock import SystemClock
from epochal.core.errors import EpochalError
from epochal.fsio.wire import Wire, take_stdout
from epochal.project.runfile import RunSpec, read_run


USAGE = "python -P -m epochal.predict_host test RUN_DIR | predict RUN_DIR FOLDER"


class Speaker:
    """The wire to whoever asked."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def say(self, kind: str, **body: Any) -> None:
        """Send one message."""
        self._wire.say({"kind": kind, **body})

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Tell what is being done."""
        self.say("progress", text=text, fraction=fraction)


def main(arguments: list[str] | None = None) -> int:
    """Do the one job asked for; 0 when its result was told, 1 when an error was."""
    words = sys.argv[1:] if arguments is None else arguments
    speaker = Speaker(take_stdout())
    try:
        return _do(words, speaker)
    except EpochalError as error:
        speaker.say("error", **error.as_dict())
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except Exception as error:  # noqa: BLE001 - an edge: whoever asked must be told what happened, whatever it was
        what = f"{type(error).__name__}: {error}"
        speaker.say("error", code="predict-host", what=what, where=" ".join(words[1:2]), fix="see `epochal doctor`")
    return 1


def _do(words: list[str], speaker: Speaker) -> int:
    if words[:1] == ["test"] and len(words) == 2:
        result = test(read_run(Path(words[1])), speaker)
    elif words[:1] == ["predict"] and len(words) == 3:
        result = predict(read_run(Path(words[1])), Path(words[2]), speaker)
    else:
        sys.stderr.write(f"usage: {USAGE}\n")
        return 2
    speaker.say("result", **result)
    return 0


def test(spec: RunSpec, speaker: Speaker) -> dict[str, Any]:
    """Open the test set: predict, count the look, judge, write the report. The `test --json` document."""
    speaker.progress("loading the model")
    _calm_threads()
    from epochal.project.looks import record_look
    from epochal.report.write import write_report
    from epochal.review.build import Circumstances, build_review, summary
    from epochal.ship.judge import bundle_file, judge_test_rows, open_bundle

    predictor = open_bundle(spec)
    speaker.progress("predicting the test rows")
    opened = judge_test_rows(spec, predictor)
    # From here on something of the test set may reach a person: the look is written down first.
    looks = record_look(spec.project_folder, spec.name, opened.fingerprint)
    speaker.progress("judging, with intervals")
    about = Circumstances(
        created=SystemClock().now().isoformat(timespec="seconds"),
        looks=looks,
        fingerprint=opened.fingerprint,
        baselines=opened.baselines,
        level=opened.level,
    )
    document = build_review(spec, opened.judged, opened.rows, about)
    speaker.progress("writing the report")
    sha256 = hashlib.sha256(bundle_file(spec).read_bytes()).hexdigest()
    folder = write_report(spec, document, opened.table, bundle_sha256=sha256)
    return {**summary(document), "path": str(folder)}


def predict(spec: RunSpec, folder: Path, speaker: Speaker) -> dict[str, Any]:
    """Predict the prepared rows of a folder."""
    speaker.progress("loading the model")
    _calm_threads()
    from epochal.ship.apply import predict_rows
    from epochal.ship.judge import open_bundle

    return predict_rows(open_bundle(spec), folder, speaker.progress)


def _calm_threads() -> None:
    """One compute thread: spinning threads on a busy machine cost far more than a second one gains on tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
