"""Tables 1 to 3 of https://doi.org/10.3390/rs12203358 as printed, 28 attributes of seven datasets.

Line breaks are taken out. A cell that is nothing but the number of a footnote has its text here;
`FOOTNOTES` has those of cells with a value.
"""

from __future__ import annotations

COLUMNS = (
    "dota",
    "xview",
    "airbus-ship",
    "clouds-s2-taiwan",
    "inria",
    "bigearthnet",
    "eurosat",
)
LAND_COVER = "patch-based land cover classification"
DETECTION = "object detection"
SENTINEL = (
    "https://sentinel.esa.int/web/sentinel/missions/sentinel-2/instrument-payload/"
    "resolution-and-swath"
)

PAPER: dict[str, tuple[str, ...]] = {
    "Classification problem": (
        DETECTION,
        DETECTION,
        DETECTION,
        "pixel-based detection",
        "pixel-based & object detection",
        LAND_COVER,
        LAND_COVER,
    ),
    "Intended application": (
        "object detection in aerial images",
        "enables discovery of more object classes; improves detection of fine-grained classes",
        "locate ships in images",
        "clouds classification",
        "building classification",
        "land cover classification",
        "land use and land cover classification",
    ),
    "Definition of classes": (
        "bounding boxes in txt",
        "bounding boxes in geojson",
        "boxes encoding in csv",
        "GeoTIFF images",
        "GeoTIFF images",
        "tags in json",
        "name of the files: RGB jpg; 13-band GeoTIFF",
    ),
    "Conversion of class representation": (
        "txt to png",
        "geojson to GeoTIFF",
        "csv to png",
        *4 * ("no conversion",),
    ),
    "Way of annotation": (
        "manual; experts",
        "-",
        "-",
        "manual",
        "combines public domain imagery with public domain official building footprints",
        "based on CORINE Land Cover database 2018",
        "manual",
    ),
    "Way of verification": ("visual", "-", "-", "-", "visual", "visual", "visual"),
    "Licence": (
        "For academic purposes only",
        "Agreed terms and conditions",
        "Agreed terms and conditions",
        *4 * ("-",),
    ),
    "URL": (
        "https://captain-whu.github.io/DOTA/dataset.html",
        "http://xviewdataset.org",
        "https://www.kaggle.com/c/airbus-ship-detection/overview",
        "https://www.mdpi.com/2072-4292/11/2/119/htm",
        "https://project.inria.fr/aerialimagelabeling/",
        "http://bigearth.net",
        "https://github.com/phelber/eurosat",
    ),
    "Geographic coverage": (
        "variable",
        "1,415 km²",
        "variable",
        "Taiwan",
        "810 km²",
        "10 European countries",
        "cities from 34 European countries",
    ),
    "Timestamp": ("-", "-", "-", "May 2018", "-", "June 2017-May 2018", "different points in time"),
    "Data volume": ("19.9 GB", "36.4 GB", "29.5 GB", "123 MB", "25.3 GB", "106 GB", "2.88 GB"),
    "Pre-processing": (*5 * ("-",), "sen2cor", "Sentinel-2 L1C"),
    "Number of classes": ("15", "60", "2", "2", "2", "12", "10"),
    "Naming convention": ("no", "no", "no", "yes", "yes", "yes", "at class level"),
    "Quality of documentation": (
        "good",
        "moderate",
        "not detailed",
        "good",
        "good",
        "very good",
        "good",
    ),
    "Continuous development": ("-", "-", "no", "no", "no", "yes", "-"),
    "Type of original imagery": (
        "multiple sensors; non geo-referenced",
        "WV-3; geo-referenced",
        "non geo-referenced",
        "geo-referenced",
        "geo-referenced",
        "Sentinel-2 patches; geo-referenced",
        "Sentinel-2 patches; geo-referenced",
    ),
    "Orientation": (
        "variable",
        "ortho-images",
        "ortho-images",
        "S2 L1C ortho-images",
        "ortho-images",
        "S2 L2A ortho-images",
        "S2 L1C ortho-images",
    ),
    "File format": (
        "png",
        "GeoTIFF",
        "jpg",
        "GeoTIFF",
        "GeoTIFF",
        "GeoTIFF",
        "RGB: jpg; 13-band: GeoTIFF",
    ),
    "Number of bands": ("3", "3", "3", "10", "3", "12", "13-band & RGB"),
    "Data type per band": (
        *3 * ("8-bits",),
        "16-bits",
        "8-bits",
        "16-bits",
        "RGB: 8 bits; 13-band: 16 bits",
    ),
    "No data value": ("-", "0", "-", "-", "0", "-", "-"),
    "Metadata": ("no", "yes", "no", "yes", "yes", "yes", "yes"),
    "Image dimensions (rows × cols)": (  # noqa: RUF001
        "from 800 × 800 to about 4000 × 4000",  # noqa: RUF001
        "various small patches",
        "768 × 768",  # noqa: RUF001
        "224 × 224",  # noqa: RUF001
        "5000 × 5000",  # noqa: RUF001
        "120 × 120 pixels for 10 m bands; 60 × 60 pixels for 20 m bands; "  # noqa: RUF001
        "20 × 20 pixels for 60 m bands",  # noqa: RUF001
        "RGB: 64 × 64; 13-band: 64 × 64",  # noqa: RUF001
    ),
    "Spatial resolution": (
        "variable",
        "0.3 m",
        "-",
        "20 m",
        "30 cm",
        "10 m; 20 m; 60 m",
        "10 m; 20 m; 60 m",
    ),
    "Name of bands": (
        "RGB",
        "RGB and 8-band",
        "RGB",
        "Sentinel-2 bands",
        "RGB",
        "Sentinel-2 L2A bands",
        "class name",
    ),
    "Name of classes": (
        "plane, ship, storage tank, baseball diamond, tennis court, basketball court, ground track "
        "field, harbor, bridge, large vehicle, small vehicle, helicopter, roundabout, soccer ball "
        "field, swimming pool (and one additional: container-crane)",
        "11:Fixed-wing Aircraft; 12:Small Aircraft; 13:Passenger/Cargo Plane; 15:Helicopter; "
        "17:Passenger Vehicle; 18:Small Car; 19:Bus; 20:Pickup Truck; 21:Utility Truck; 23:Truck; "
        "24:Cargo Truck; 25:Truck Tractor w/ Box Trailer; 26:Truck Tractor; 27:Trailer; 28:Truck "
        "Tractor w/ Flatbed Trailer; 29:Truck Tractor w/ Liquid Tank; 32:Crane Truck; 33:Railway "
        "Vehicle; 34:Passenger Car; 35:Cargo/Container Car; 36:Flat Car; 37:Tank car; "
        "38:Locomotive; 40:Maritime Vessel; 41:Motorboat; 42:Sailboat; 44:Tugboat; 45:Barge; "
        "47:Fishing Vessel; 49:Ferry; 50:Yacht; 51:Container Ship; 52:Oil Tanker; 53:Engineering "
        "Vehicle; 54:Tower crane; 55:Container Crane; 56:Reach Stacker; 57:Straddle Carrier; "
        "59:Mobile Crane; 60:Dump Truck; 61:Haul Truck; 62:Scraper/Tractor; 63:Front "
        "loader/Bulldozer; 64:Excavator; 65:Cement Mixer; 66:Ground Grader; 71:Hut/Tent; 72:Shed; "
        "73:Building; 74:Aircraft Hangar; 76:Damaged Building; 77:Facility; 79:Construction Site; "
        "83:Vehicle Lot; 84:Helipad; 86:Storage Tank; 89:Shipping container lot; 91:Shipping "
        "Container; 93:Fylon; 94:Tower",
        "ship/no ship",
        "cloud/no cloud",
        "building/no building",
        "CLC nomenclature",
        "industrial buildings, residential buildings, annual crop, permanent crop, river, sea & "
        "lake, herbaceous vegetation, highway, pasture, forest",
    ),
    "Spectral resolution": ("-", "-", "-", SENTINEL, "-", SENTINEL, SENTINEL),
}
"""By attribute, the cells in the order of `COLUMNS`."""

FOOTNOTES = {
    ("Geographic coverage", "xview"): "part of cities around the world",
    ("Geographic coverage", "inria"): "towns around the world: Austin, Chicago, Kitsap County, "
    "Western Tyrol, Vienna",
    ("Geographic coverage", "bigearthnet"): "Austria, Belgium, Finland, Ireland, Kosovo, "
    "Lithuania, Luxembourg, Portugal, Serbia, Switzerland",
    ("Geographic coverage", "eurosat"): "EU countries except Croatia plus Belarus, Iceland, "
    "Ireland, Holy See, North Macedonia, Republic of Moldova, Norway, Switzerland, Ukraine and "
    "United Kingdom",
    ("Number of classes", "bigearthnet"): "multiple classes per patch",
    ("Quality of documentation", "bigearthnet"): "http://bigearth.net/static/documents/"
    "BigEarthNetManual.pdf",
    ("No data value", "inria"): "explicitly defined in some cases only",
}
"""By attribute and dataset."""
