"""How a full disk is waited for: by a host that keeps a journal, and by the training that writes checkpoints."""

from __future__ import annotations


NO_ROOM = "it waits for room on the disk, and goes on by itself when there is some"
"""What a run says of itself while the disk is full."""
RETRY_SECONDS = 5.0
"""How long until it is tried again."""
WAIT_SECONDS = 3600.0
"""How long it is tried at most."""
