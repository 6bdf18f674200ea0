"""``python -m tests.process.bound_by_permissions PROGRAM ARGUMENT...``: run a program that file permissions bind.

They bind every user but root. Root loses the privilege to pass by them (CAP_DAC_OVERRIDE in ``linux/capability.h``)
when it is taken from the set a new program may have; for any other user there is nothing to take.
"""

import ctypes
import os
import sys

#: ``prctl``'s operation and the capability.
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted
