"""LPIPS and FID of `python -m adadiff.eval`, with stand-ins for the trained networks, which are not part of this project."""

from __future__ import annotations

import urllib.error

import numpy as np
import pytest

torch = pytest.importorskip("torch")
lpips = pytest.importorskip("lpips")
pytest.importorskip("cleanfid")
torchvision = pytest.importorskip("torchvision")
Image = pytest.importorskip("PIL.Image")

from adadiff import distances  # noqa: E402


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """Random weights in the form of torchvision's file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("networks") / "alexnet.pth"
    torch.save(torchvision.models.AlexNet().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """A TorchScript network with the interface of clean-fid's: `layers` gives features of (n, 3, 299, 299)."""

    class Layers(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x.abs(), (1, 3))

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = Layers()

        def forward(self, x):
            return self.layers(x)

    path = tmp_path_factory.mktemp("networks") / "stand-in.pt"
    torch.jit.script(Network()).save(str(path))
    return path


@pytest.fixture
def folders(tmp_path):
    """Eleven pictures, the same with a little noise, and with more."""
    generator = np.random.default_rng(0)
    base = generator.integers(0, 256, (11, 64, 64, 3)).astype(float)
    for index, noise in enumerate((0, 10, 60)):
        (tmp_path / str(index)).mkdir()
        for number, pixels in enumerate(base + noise * generator.normal(size=base.shape)):
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / str(index) / f"{number}.png")
    return [tmp_path / str(index) for index in range(3)]


def test_pictures_are_in_the_order_of_their_numbers(folders):
    assert [int(path.stem) for path in distances.pictures(folders[0])] == list(range(11))


def test_lpips_is_the_package_s_with_the_given_trunk(folders, alexnet):
    made, near, far = (distances.pictures(folder) for folder in folders)
    measure = distances.lpips_of(alexnet)
    assert measure(made, made) == [0.0] * 11
    small, large = measure(near, made), measure(far, made)
    assert 0 < np.mean(small) < np.mean(large)
    # The package's own network with the same random trunk: AlexNet draws its weights in one order.
    torch.manual_seed(0)
    own = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    pixels = [torch.from_numpy(np.asarray(Image.open(path)).transpose(2, 0, 1) / np.float32(127.5) - 1)[None] for path in (near[3], made[3])]
    with torch.inference_mode():
        assert small[3] == pytest.approx(float(own(*pixels)), rel=1e-5)


def test_fid_is_zero_for_equal_folders_and_grows(folders, inception):
    measure = distances.fid_of(inception)
    assert measure(folders[0], folders[0]) == pytest.approx(0, abs=1e-3)
    assert 0 < measure(folders[1], folders[0]) < measure(folders[2], folders[0])


def test_a_missing_network_is_named(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(distances.MissingNetwork, match=r"alexnet-owt-7be5be79.pth.*no route.*--alexnet FILE"):
        distances.lpips_of()
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(distances.MissingNetwork, match=r"inception-2015-12-05.pt.*--inception FILE"):
        distances.fid_of()
    with pytest.raises(distances.MissingNetwork, match="absent"):
        distances.lpips_of(tmp_path / "absent.pth")
    with pytest.raises(distances.MissingNetwork, match="absent"):
        distances.fid_of(tmp_path / "absent.pt")
