"""What may be uploaded: audio and video, no larger than the plan grants."""

from decimal import Decimal

import pytest

from core.sessions.uploads import FileSizeExceeded, UnsupportedMediaType, require_media, require_size


@pytest.mark.parametrize("content_type", ["audio/mp4", "video/webm", "AUDIO/MPEG", "audio/ogg; codecs=opus"])
def test_audio_and_video_are_taken(content_type: str) -> None:
    require_media(content_type)


@pytest.mark.parametrize("content_type", ["", "audio", "image/png", "application/octet-stream", "text/audio/mp4", " audio/mp4"])
def test_everything_else_is_refused_by_its_name(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as refusal:
        require_media(content_type)
    assert refusal.value.facts() == {"content_type": content_type}


@pytest.mark.parametrize(("megabytes", "size_bytes"), [("60", 60_000_000), ("2.5", 2_500_000), ("0.0000019", 1), ("60", 1)])
def test_a_file_may_be_as_large_as_the_plan_grants(megabytes: str, size_bytes: int) -> None:
    require_size(size_bytes, Decimal(megabytes))


@pytest.mark.parametrize(("megabytes", "size_bytes"), [("60", 60_000_001), ("2.5", 2_500_001), ("0.0000019", 2), ("0", 1)])
def test_a_byte_more_is_refused_with_the_size_that_is_allowed(megabytes: str, size_bytes: int) -> None:
    with pytest.raises(FileSizeExceeded) as refusal:
        require_size(size_bytes, Decimal(megabytes))
    assert refusal.value.facts() == {
        "max_file_size_mb": Decimal(megabytes),
        "size_bytes": size_bytes,
        "max_size_bytes": int(Decimal(megabytes) * 1_000_000),
    }


def test_the_refusal_says_both_sizes_and_the_plans_own_number() -> None:
    refusal = FileSizeExceeded(Decimal("2.5"), 2_600_000, 2_500_000)
    assert str(refusal) == "File size exceeded: 2,600,000 bytes, and 2,500,000 are allowed (plan: 2.5 MB)."
