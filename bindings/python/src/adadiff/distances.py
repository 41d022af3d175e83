"""LPIPS and FID between folders of pictures, by the packages ``lpips`` and ``clean-fid`` (``pip install adadiff[eval]``).

Both look at pictures through a trained network that the packages do not carry. It is read from a file that the caller
names, else from the place where the package keeps its download, else downloaded; where none of these works,
:class:`MissingNetwork` says which file is missing and where it can be put.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable, Sequence

LPIPS_VERSION = "lpips 0.1, alex"
FID_VERSION = "clean-fid, clean"

_ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
_INCEPTION = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"


class MissingNetwork(FileNotFoundError):
    """A metric's network is neither here nor to be had."""

    def __init__(self, metric: str, option: str, url: str, kept: Path, why: object) -> None:
        super().__init__(
            f"{metric} needs the network {Path(url).name}, which cannot be read or downloaded ({why}). Get it from {url} on "
            f"another machine and name it with {option} FILE, or put it to {kept}"
        )


def pictures(folder: str | Path) -> list[Path]:
    """The PNG files 0.png, 1.png, … of a folder, in the order of their numbers."""
    return sorted(Path(folder).glob("*.png"), key=lambda path: int(path.stem))


def lpips_of(alexnet: str | Path | None = None) -> Callable[[Sequence[Path], Sequence[Path]], list[float]]:
    """LPIPS (version 0.1, AlexNet) of pairs of pictures. `alexnet`: torchvision's weights, a state dictionary."""
    import lpips
    import numpy as np
    import torch
    from PIL import Image

    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(_ALEXNET).name
    try:
        if alexnet is None:
            weights = torch.hub.load_state_dict_from_url(_ALEXNET, map_location="cpu", progress=False)
        else:
            weights = torch.load(alexnet, map_location="cpu", weights_only=True)
    except OSError as why:
        raise MissingNetwork("LPIPS", "--alexnet", _ALEXNET, kept, why) from why
    # Only the trunk is missing from the package; its slices number the layers as torchvision's `features` does.
    network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    trunk = {
        name: weights["features." + name.split(".", 1)[1]].float() for name in network.net.state_dict()
    }
    network.net.load_state_dict(trunk)

    def load(path: Path) -> torch.Tensor:
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 127.5 - 1
        return torch.from_numpy(pixels.transpose(2, 0, 1))[None]

    def distances(made: Sequence[Path], references: Sequence[Path]) -> list[float]:
        with torch.inference_mode():
            return [float(network(load(a), load(b))) for a, b in zip(made, references, strict=True)]

    return distances


def fid_of(inception: str | Path | None = None) -> Callable[[str | Path, str | Path], float]:
    """FID (clean-fid, mode "clean") between two folders. `inception`: the TorchScript file that clean-fid downloads."""
    import torch
    from cleanfid import fid
    from cleanfid.downloads_helper import check_download_inception

    kept = Path(tempfile.gettempdir()) / Path(_INCEPTION).name
    try:
        if inception is None:
            inception = check_download_inception(str(kept.parent))
        # The file's own resizing is left out: mode "clean" resizes with Pillow, before.
        layers = torch.jit.load(str(Path(inception).resolve(strict=True))).eval().layers
    except OSError as why:
        raise MissingNetwork("FID", "--inception", _INCEPTION, kept, why) from why

    def features(batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, 299, 299), 0…255, to (n, features)."""
        with torch.inference_mode():
            return layers((batch - 128) / 128).flatten(1)

    def distance(made: str | Path, reference: str | Path) -> float:
        return float(
            fid.compute_fid(
                str(reference), str(made), mode="clean", device=torch.device("cpu"), num_workers=0, verbose=False,
                custom_feat_extractor=features,
            )  # fmt: skip
        )

    return distance
