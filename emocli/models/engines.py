"""What multiplies the matrices: torch, or OpenVINO where it is installed and pays."""

import importlib.util

from emocli.errors import MissingDependency, ModelError

ENGINES = ("auto", "torch", "openvino")


def choose_engine(name: str, *, device: str, dtype: str, fits: bool) -> str:
    """``"torch"`` or ``"openvino"``.

    ``auto`` is OpenVINO for networks on waveforms in fp32 on a CPU where it is installed: who
    installs it wants it. Each model is converted once and that is kept. Everything else runs on
    torch, bf16 too, for OpenVINO would compute the head in it as well.

    Args:
        name: one of `ENGINES`.
        device: kind of device, such as ``"cpu"``.
        dtype: ``fp32``, ``bf16`` or ``fp16``.
        fits: whether OpenVINO can take the network.

    Raises:
        ModelError: the name is none, or OpenVINO was asked for what it cannot do here.
        MissingDependency: OpenVINO was asked for and is not installed.
    """
    if name not in ENGINES:
        raise ModelError(
            f"Engine {name!r} is unknown, expected one of {', '.join(ENGINES)}. "
            f"Choose one with --engine."
        )
    if name == "torch":
        return "torch"
    is_here = importlib.util.find_spec("openvino") is not None
    if name == "openvino" and not is_here:
        raise MissingDependency(
            "The engine openvino needs a package that is not installed, expected openvino. "
            "Run `pip install 'emocli[openvino]'`."
        )
    if not is_here or not fits or (device, dtype) != ("cpu", "fp32"):
        if name == "openvino":
            raise ModelError(
                f"The engine openvino cannot run this model in {dtype} on {device}, expected a "
                f"network on waveforms in fp32 on a CPU. Use --engine torch."
            )
        return "torch"
    return "openvino"
