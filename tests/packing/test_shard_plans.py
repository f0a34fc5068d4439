"""Shard plans: every sample in one shard, whatever order levels come in, and few open at a time."""

from satimnet.builder.packing.shard_plans import ShardPlan, plan, plans
from satimnet.builder.samples import Member, Object, Sample
from satimnet.builder.sources import Entry


def sample(number: int, level: str, stamp: int = 0) -> Sample:
    name = f"{level}/{number}.tif"
    entry = Entry(name, 100, "a.tar", "tar", 1000 * number, 100, stamp, 0, name, "")
    objects = (Object("ship", ((0, 0), (1, 0), (1, 1)), properties={"a": [1]}),)
    return Sample(
        f"{level}_{number}",
        (level,),
        (Member("image", name, entry), Member("labels", f"{name}.txt", b"1 2")),
        ("ship",),
        "train",
        objects,
        "2020-01-01T00:00:00Z",
        {"platform": "sentinel-2a"},
        ({"rel": "about", "href": "./a"},),
    )


def names(found: list[ShardPlan]) -> list[tuple[str, list[str]]]:
    return [(one.name, [each.id for each in one.samples]) for one in found]


def test_samples_come_back_as_they_were():
    samples = [sample(number, "a") for number in range(100)]
    (only,) = plan(samples)
    assert list(only.samples) == samples
    assert (only.count, only.members, only.size) == (100, 200, 100 * 103)


def test_the_level_that_had_no_sample_for_the_longest_time_is_closed():
    order = "aabbcca"
    samples = [sample(number, level) for number, level in enumerate(order)]
    assert names(list(plans(samples, most_open=4))) == [
        ("a-00000", ["a_0", "a_1"]),  # as the fifth sample comes
        ("b-00000", ["b_2", "b_3"]),
        ("a-00001", ["a_6"]),
        ("c-00000", ["c_4", "c_5"]),
    ]
    assert names(plan(samples)) == [
        ("a-00000", ["a_0", "a_1", "a_6"]),
        ("b-00000", ["b_2", "b_3"]),
        ("c-00000", ["c_4", "c_5"]),
    ]


def test_plans_are_there_before_all_samples_are():
    taken = []

    def coming():
        for number in range(100):
            taken.append(number)
            yield sample(number, "a")

    first = next(plans(coming(), shard_size=5000))
    assert 0 < first.count < len(taken) < 10


def test_the_digest_tells_files_apart():
    (first,), (same,), (other,) = (plan([sample(1, "a", stamp)]) for stamp in (0, 0, 1))
    assert first.digest == same.digest != other.digest
