"""Places across 180 degrees and around the poles, compared with points tried one by one."""

import json
from pathlib import Path
from types import SimpleNamespace

import antimeridian
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from published import home_of

from satimnet.builder import build, search, validate
from satimnet.builder import open as open_catalog
from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.annotations import annotation_lonlat
from satimnet.builder.imagery.footprints import footprints_of
from satimnet.builder.imagery.grids import lonlat_of
from satimnet.builder.imagery.headers import Header
from satimnet.builder.imagery.lonlat import spans, union
from satimnet.builder.query.geometry import box_of, geometry_of
from satimnet.builder.samples import Object
from satimnet.cli.export_command import export

DEGREES = "EPSG:4326"


def grid(crs, west, north, pixel, rows=100, columns=100, down=-1):
    place = (pixel, 0, west, 0, down * pixel, north)
    return SimpleNamespace(crs=crs, transform=place, shape=(rows, columns))


def footprint_of(place):
    (footprint,) = footprints_of([place])
    return shapely.from_geojson(json.dumps(footprint.geometry)), footprint.bbox


def points_of(place, seed=0, count=2000):
    """Points around a grid: longitude, latitude, and whether they lie in it; none near its edge."""
    rng = np.random.default_rng(seed)
    where = rng.uniform(-0.5, 1.5, (count, 2))
    where = where[(abs(where) > 0.02).all(1) & (abs(where - 1) > 0.02).all(1)]
    a, b, c, d, e, f = place.transform
    column, row = where.T * np.array(place.shape[::-1])[:, None]
    lon, lat = lonlat_of(place.crs, a * column + b * row + c, d * column + e * row + f)
    known = np.isfinite(lon) & (abs(lat) <= 90)
    return (lon[known] + 180) % 360 - 180, lat[known], ((where > 0) & (where < 1)).all(1)[known]


def in_box(bbox, lon, lat):
    west, south, east, north = bbox
    across = [(lon >= w) & (lon <= e) for w, e in spans(west, east)]
    return np.any(across, axis=0) & (lat >= south) & (lat <= north)


def require_right(place):
    shape, bbox = footprint_of(place)
    lon, lat, inside = points_of(place)
    assert inside.any()
    assert shapely.is_valid(shape)
    assert (shapely.contains_xy(shape, lon, lat) == inside).all()
    assert in_box(bbox, lon[inside], lat[inside]).all()
    west, south, east, north = bbox
    assert -180 <= west <= 180
    assert -180 <= east <= 180
    bounds = shapely.bounds(shape)
    assert [south, north] == [bounds[1], bounds[3]]
    assert bounds.tolist() == bbox or (west > east and bounds[0] == -180 and bounds[2] == 180)
    return shape, bbox


@settings(max_examples=60, deadline=None)
@given(lon=st.floats(-180, 360), lat=st.floats(-80, 80), size=st.floats(0.001, 8), down=st.just(-1))
@example(lon=180, lat=10, size=0.01, down=-1)
@example(lon=179.99, lat=10, size=0.01, down=-1)
@example(lon=-180, lat=90, size=1.0, down=-1)
@example(lon=355, lat=0, size=5, down=-1)
def test_footprints_of_grids_in_degrees(lon, lat, size, down):
    place = grid(DEGREES, lon, lat, size / 100, down=down)
    if lon + size <= 360:
        require_right(place)


@settings(max_examples=60, deadline=None)
@given(
    crs=st.sampled_from([3413, 3031, 32661, 32761, 6931, 3995, 32601, 32660, 3832, 3338]),
    x=st.floats(-1e6, 1e6),
    y=st.floats(-1e6, 1e6),
    size=st.floats(1e3, 1.5e6),
    down=st.sampled_from([-1, 1]),
)
@example(crs=3413, x=0, y=0, size=1e5, down=-1)  # a corner on the pole
@example(crs=3413, x=-5e4, y=0, size=1e5, down=-1)  # an edge over it
@example(crs=3413, x=-5e4, y=5e4, size=1e5, down=-1)
@example(crs=3031, x=-5e4, y=-5e4, size=1e5, down=1)
@example(crs=32661, x=1.95e6 - 2e6, y=2.05e6 - 2e6, size=1e5, down=-1)
@example(crs=32601, x=166021 - 320 - 5e5, y=320, size=640, down=-1)
def test_footprints_of_grids_in_metres(crs, x, y, size, down):
    middle = {32661: (2e6, 2e6), 32761: (2e6, 2e6), 32601: (5e5, 0), 32660: (5e5, 0)}
    x0, y0 = middle.get(crs, (0, 0))
    if crs in (32601, 32660):  # far from its meridian the projection folds
        x, size = x / 2, min(size, 3e5)
    require_right(grid(f"EPSG:{crs}", x0 + x, y0 + y, size / 100, down=down))


def test_a_footprint_around_a_pole_has_all_longitudes():
    _, bbox = require_right(grid("EPSG:3413", -5e5, 5e5, 1e4))
    assert bbox == [-180, pytest.approx(83.479, abs=0.001), 180, 90]
    _, bbox = require_right(grid("EPSG:3031", -5e5, 5e5, 1e4))
    assert bbox == [-180, -90, 180, pytest.approx(-83.499, abs=0.001)]


@pytest.mark.parametrize("west", [-180, 0])
def test_a_grid_of_the_whole_world_stays_whole(west):
    shape, bbox = footprint_of(grid(DEGREES, west, 90, 1, 180, 360))
    assert bbox == [-180, -90, 180, 90]
    assert shape.equals(shapely.box(*bbox))


def test_a_patch_as_small_as_a_grain_has_a_footprint():
    shape, bbox = footprint_of(grid(DEGREES, 190, 80, 1e-12))
    assert bbox == [-170, 80, -170, 80]
    assert shape.geom_type == "Polygon"


def test_common_footprints_are_the_corners():
    shape, bbox = footprint_of(grid("EPSG:32633", 500_000, 5_000_000, 10))
    assert len(shape.exterior.coords) == 5
    assert list(shape.bounds) == bbox


def test_footprints_agree_with_the_package_antimeridian():
    place = grid("EPSG:32601", 166021 - 5000, 4000, 100)
    shape, bbox = footprint_of(place)
    lon, lat = lonlat_of(
        place.crs,
        np.array([161021.0, 161021, 171021, 171021]),
        np.array([4000.0, -6000, -6000, 4000]),
    )
    corners = shapely.Polygon(np.stack((lon, lat), axis=1))
    fixed = antimeridian.fix_polygon(corners, great_circle=False)
    assert shape.symmetric_difference(fixed).area < 1e-6
    assert antimeridian.bbox(fixed) == pytest.approx(bbox, abs=1e-6)


# --- bboxes -------------------------------------------------------------------------------------

LONGITUDES = st.integers(-18, 18).map(lambda n: 10 * n)
BOXES = st.lists(
    st.tuples(LONGITUDES, LONGITUDES).filter(lambda pair: pair[0] != pair[1]),
    min_size=1,
    max_size=6,
)
TRIED = np.arange(-180, 180) + 0.5


@settings(deadline=None)
@given(BOXES)
@example([(170, -170)])
@example([(170, 180), (-180, -170)])
@example([(170, -170), (5, 15)])
@example([(-180, 180)])
@example([(100, -100), (-120, 110)])
def test_a_union_covers_its_boxes_and_is_no_wider_than_it_must(pairs):
    west, south, east, north = union([[w, 1, e, 2] for w, e in pairs])
    assert (south, north) == (1, 2)
    zeros = np.zeros_like(TRIED)
    parts = np.any([in_box((w, 0, e, 0), TRIED, zeros) for w, e in pairs], axis=0)
    covered = in_box((west, 0, east, 0), TRIED, zeros)
    assert not (parts & ~covered).any()
    # The longest run of longitudes without a box, around the Earth, is what may be left out.
    runs = "".join("x" if part else "." for part in np.tile(parts, 2)).split("x")
    longest = max(map(len, runs))
    if not any(w > e for w, e in pairs) and longest <= 180:
        assert (west, east) == (min(w for w, _ in pairs), max(e for _, e in pairs))
    else:
        assert (~covered).sum() == longest


@settings(deadline=None)
@given(st.integers(-360, 180), st.integers(0, 360))
def test_a_bbox_means_the_same_whichever_longitudes_it_counts_in(west, width):
    box = box_of([west, 0, west + width, 10])
    tried = shapely.points(TRIED, np.full_like(TRIED, 5))
    expected = (TRIED - west) % 360 < width
    assert (shapely.intersects(box, tried) == expected).all()
    assert shapely.bounds(box)[0] >= -180
    assert shapely.bounds(box)[2] <= 180


def test_a_bbox_of_0_to_360_may_cross_greenwich():
    assert box_of([350, 0, 10, 5]).equals(shapely.box(-10, 0, 10, 5))


def test_longitudes_far_out_are_refused():
    with pytest.raises(SatimnetError, match="-180 to 180, or 0 to 360"):
        box_of([5, 45, 1500, 55])
    with pytest.raises(SatimnetError, match="-180 to 180, or 0 to 360"):
        geometry_of({"type": "Point", "coordinates": [1500, 5]})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (shapely.Point(190, 5), shapely.Point(-170, 5)),
        (shapely.box(200, 0, 210, 5), shapely.box(-160, 0, -150, 5)),
        (
            shapely.box(170, 0, 190, 5),
            shapely.union(shapely.box(170, 0, 180, 5), shapely.box(-180, 0, -170, 5)),
        ),
        (shapely.box(0, -90, 360, 90), shapely.box(-180, -90, 180, 90)),
        (
            shapely.LineString([(-190, 0), (-170, 0)]),
            shapely.MultiLineString([[(170, 0), (180, 0)], [(-180, 0), (-170, 0)]]),
        ),
        (shapely.box(-180, -90, 180, 90), shapely.box(-180, -90, 180, 90)),
    ],
)
def test_geometries_beyond_180_degrees_are_moved(shape, expected):
    assert geometry_of(json.loads(shapely.to_geojson(shape))).equals(expected)


# --- annotations --------------------------------------------------------------------------------


def objects_in(header, outlines):
    made = annotation_lonlat([Object("ship", outline=o) for o in outlines], header)
    features = json.loads(made)["features"]
    return [shapely.from_geojson(json.dumps(f["geometry"])) for f in features]


def test_objects_are_cut_at_180_degrees():
    header = Header((10, 10), 3, "|u1", None, DEGREES, (0.1, 0, 179.5, 0, -0.1, 10.0))
    square = ((2, 2), (8, 2), (8, 8), (2, 8))
    across, west = objects_in(header, [square, ((0, 0), (1, 0), (1, 1), (0, 1))])
    expected = [shapely.box(179.7, 9.2, 180, 9.8), shapely.box(-180, 9.2, -179.7, 9.8)]
    assert across.geom_type == "MultiPolygon"
    assert across.symmetric_difference(shapely.union_all(expected)).area < 1e-9
    assert west.geom_type == "Polygon"


def test_a_ring_of_pixels_keeps_its_hole_across_180_degrees():
    header = Header((3, 3), 3, "|u1", None, DEGREES, (0.1, 0, 179.85, 0, -0.1, 10.0))
    ring = Object("ship", runs=(0, 4, 5, 4))  # all pixels but the one in the middle
    (feature,) = json.loads(annotation_lonlat([ring], header))["features"]
    shape = shapely.from_geojson(json.dumps(feature["geometry"]))
    assert shape.area == pytest.approx(0.08)
    assert not shape.intersects(shapely.Point(179.97, 9.85))
    assert not shape.intersects(shapely.Point(-179.97, 9.85))


# --- catalogs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossing(tmp_path_factory) -> Path:
    """A catalog of two patches: one across 180 degrees at the equator, one 200 km east of it."""
    folder = tmp_path_factory.mktemp("crossing")
    forest = folder / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest"
    forest.mkdir(parents=True)
    for number, west in enumerate((166_021 - 320, 366_021), 1):
        profile = {"width": 64, "height": 64, "count": 13, "dtype": "uint16", "crs": "EPSG:32601"}
        profile |= {"transform": rasterio.Affine(10, 0, west, 0, -10, 320)}
        path = forest / f"Forest_{number}.tif"
        with rasterio.open(path, "w", driver="GTiff", interleave="pixel", **profile) as image:
            image.write(np.full((13, 64, 64), 900, np.uint16))
    build([folder / "ds"], folder / "catalog", overview=False)
    return folder / "catalog"


def test_a_catalog_across_180_degrees_is_small_and_found_where_it_is(crossing, schemas):
    def found(**query):
        return [item["id"] for item in search(crossing, **query)]

    document = json.loads((home_of(crossing) / "collection.json").read_bytes())
    (extent,) = document["extent"]["spatial"]["bbox"]
    assert extent == pytest.approx([179.997, -0.003, -178.198, 0.003], abs=0.001)
    assert validate(crossing, schemas=schemas).problems == []
    assert found(bbox=[10, -1, 20, 1]) == []
    both = ["Forest_1", "Forest_2"]
    for bbox in ([179, -1, -178, 1], [179, -1, 182, 1], [-181, -1, -178, 1], [0, -90, 360, 90]):
        assert found(bbox=bbox) == both
    for bbox in ([179, -1, 180, 1], [179, -1, -179.999, 1], [-180, -1, -179.999, 1]):
        assert found(bbox=bbox) == ["Forest_1"]
    east = shapely.box(181, -1, 183, 1)
    assert found(intersects=shapely.geometry.mapping(east)) == ["Forest_2"]
    text = "s_intersects(geometry, POLYGON((181 -1, 183 -1, 183 1, 181 1, 181 -1)))"
    assert found(filter=text) == ["Forest_2"]
    assert found(filter="s_intersects(geometry, BBOX(179, -1, 181, 1))") == ["Forest_1"]
    client = open_catalog(crossing)
    answer = client.search(bbox=[179, -1, 182, 1], collections=["eurosat"])
    assert [item.id for item in answer.items()] == both


def test_files_and_exports_tell_of_crossing_as_their_standards_do(crossing, tmp_path):
    path = home_of(crossing) / "items.parquet"
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])["columns"]["geometry"]
    assert geo["geometry_types"] == ["Polygon", "MultiPolygon"]
    first, _ = search(crossing)
    assert first["geometry"]["type"] == "MultiPolygon"
    assert first["bbox"][0] > first["bbox"][2]
    written = json.loads((home_of(crossing) / "Forest/Forest_1.json").read_bytes())
    assert (first["geometry"], first["bbox"]) == (written["geometry"], written["bbox"])
    for name in ("dcat", "trainingdml"):
        arguments = [str(crossing), "--format", name, "--out", str(tmp_path / name)]
        assert CliRunner().invoke(export, arguments).exit_code == 0
    texts = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert "MULTIPOLYGON(((179.99" in texts


def test_a_raster_in_longitudes_of_0_to_360_is_built(tmp_path):
    forest = tmp_path / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest"
    forest.mkdir(parents=True)
    profile = {"width": 64, "height": 64, "count": 13, "dtype": "uint16", "crs": "EPSG:4326"}
    profile |= {"transform": rasterio.Affine(1e-4, 0, 210, 0, -1e-4, 10)}
    with rasterio.open(forest / "Forest_1.tif", "w", driver="GTiff", **profile) as image:
        image.write(np.full((13, 64, 64), 900, np.uint16))
    build([tmp_path / "ds"], tmp_path / "catalog", overview=False)
    (item,) = search(tmp_path / "catalog")
    assert item["bbox"] == pytest.approx([-150, 9.9936, -149.9936, 10])
