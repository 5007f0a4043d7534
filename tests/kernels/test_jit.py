"""The rules under which every kernel is compiled."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import numpy as np
from rtreg import NoiseModel, Registrar
from rtreg.kernels import follow

y, x = np.mgrid[:40, :48]
def scene(d):
    return 50 + 900 * np.exp(-((x - 20 - d) ** 2 + (y - 17) ** 2) / 9) + 300 * np.sin(x / 5 - d) * np.cos(y / 4)
rng = np.random.default_rng(0)
registrar = Registrar(scene(0.0), noise=NoiseModel(gain=1.0, read_noise=3.0))
for d in rng.uniform(-1.5, 1.5, 6):
    e = registrar.measure((scene(d) + rng.normal(0, 3, x.shape)).astype(np.float32))
    print(*(float(v).hex() for v in (*e.shift, *np.ravel(e.covariance), e.chi2_dof, e.scale)))
print("compiled", sum(follow.follow.stats.cache_misses.values()))
"""


def test_a_kernel_gives_the_same_bits_whether_compiled_or_found_on_disk(tmp_path):
    """Else what a process has measured right after an update would not be repeated by any later one."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (*cold, compiled), (*warm, found) = (run.stdout.splitlines() for run in runs)
    assert (compiled, found) == ("compiled 1", "compiled 0")
    assert len(cold) == 6
    assert cold == warm
