"""Training: a state and a step, families of models, preparation fitted on the training part, checkpoints, bundles."""

import os
import resource


if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
    # Arrow's own allocator reserves a gigabyte of address space, which such a limit counts. Read when pyarrow is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
