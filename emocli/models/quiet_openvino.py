"""The package openvino, without its reports on each conversion to its maker's server.

Its converter reports through the package openvino_telemetry, from a process that it forks, and
does without where there is none. So there is none.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["openvino"]
