"""Photos are made smaller in worker processes, and end up on one sheet."""

from __future__ import annotations

from pathlib import Path

from example_tools import EXAMPLES, assert_promised, run
from PIL import Image

SCRIPT = str(EXAMPLES / "thumbnails" / "thumbnails.py")
ROTATED = 6  # in EXIF: the camera was held upright


def test_thumbnails_of_a_folder(tmp_path: Path) -> None:
    """Twelve photos, one of them taken upright, one that is no photo, and a file that is none of ours."""
    photos, made = tmp_path / "photos", tmp_path / "made"
    photos.mkdir()
    gradient = Image.linear_gradient("L").resize((1200, 800))
    for number in range(11):
        exif = Image.Exif()
        exif[0x0112] = ROTATED if number == 3 else 1
        colour = (number * 20, 80, 255 - number * 20)
        photo = Image.composite(Image.new("RGB", gradient.size, colour), Image.new("RGB", gradient.size), gradient)
        photo.save(photos / f"{number:02}.jpg", exif=exif)
    Image.radial_gradient("L").save(photos / "grey.png")
    (photos / "broken.jpg").write_text("no photo")
    (photos / "notes.txt").write_text("no photo either")

    output = run(SCRIPT, "photos", "made", folder=tmp_path, code=1)

    sizes = {}
    for path in made.glob("*.small.jpg"):
        with Image.open(path) as small:
            sizes[path.name] = small.size
    assert sizes.pop("03.jpg.small.jpg") == (160, 240)
    assert sizes.pop("grey.png.small.jpg") == (240, 240)
    assert set(sizes.values()) == {(240, 160)}
    assert len(sizes) == 10
    with Image.open(made / "sheet.png") as sheet:
        assert sheet.size == (4 * 256 + 16, 3 * 272 + 16)
        assert sheet.getpixel((16 + 120, 16 + 120)) != (255, 255, 255)
    assert_promised("thumbnails", "\n".join(output.splitlines()[-2:]))
