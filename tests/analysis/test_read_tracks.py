"""Tracks of other programs: what is read, and the sentence for what cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spinscope.analysis.imports import read_tracks
from spinscope.errors import SpinscopeError

CSV = """\
LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME,RADIUS,VISIBILITY
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,Radius,Visibility
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,R,Visibility
,,,(quality),(micron),(micron),(micron),(sec),,(micron),
ID7,7,3,1.5,2.0,1.0,0.0,0.0,0,0.5,1
ID8,8,3,1.5,2.4,1.2,0.0,0.5,1,0.5,1
ID9,9,,1.5,4.0,3.0,0.0,0.5,1,0.5,1
"""
"""Spots of TrackMate, with three rows of titles and units after the header."""

XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<TrackMate version="7.11.1">
  <Model spatialunits="micron" timeunits="sec">
    <AllSpots nspots="5">
      <SpotsInFrame frame="0">
        <Spot ID="7" name="a" POSITION_X="2.0" POSITION_Y="1.0" FRAME="0" VISIBILITY="1" />
        <Spot ID="11" name="b" POSITION_X="9.0" POSITION_Y="9.0" FRAME="0" VISIBILITY="1" />
      </SpotsInFrame>
      <SpotsInFrame frame="1">
        <Spot ID="8" name="c" POSITION_X="2.4" POSITION_Y="1.2" FRAME="1" VISIBILITY="1" />
        <Spot ID="9" name="d" POSITION_X="4.0" POSITION_Y="3.0" FRAME="1" VISIBILITY="1" />
        <Spot ID="12" name="e" POSITION_X="9.0" POSITION_Y="9.2" FRAME="1" VISIBILITY="1" />
        <Spot ID="13" name="f" POSITION_X="7.0" POSITION_Y="9.2" FRAME="1" VISIBILITY="0" />
      </SpotsInFrame>
    </AllSpots>
    <AllTracks>
      <Track name="Track_3" TRACK_ID="3"><Edge SPOT_SOURCE_ID="7" SPOT_TARGET_ID="8" /></Track>
      <Track name="Track_4" TRACK_ID="4"><Edge SPOT_SOURCE_ID="11" SPOT_TARGET_ID="12" /></Track>
    </AllTracks>
    <FilteredTracks><TrackID TRACK_ID="3" /></FilteredTracks>
  </Model>
  <Settings>
    <ImageData filename="a.tif" folder="" width="60" height="50" nslices="1" nframes="2"
      pixelwidth="0.2" pixelheight="0.2" voxeldepth="1.0" timeinterval="0.5" />
  </Settings>
</TrackMate>
"""
"""Two tracks, one of them hidden, a spot without a track, and a hidden spot."""

PLACES = pd.DataFrame(
    {"frame": [0, 1, 1], "y_px": [5.0, 6.0, 15.0], "x_px": [10.0, 12.0, 20.0], "track": [0, 0, 1]}
)
"""What both contain."""


@pytest.fixture
def read(tmp_path):
    """Write a text to a file, and read its tracks."""

    def call(text: str | bytes, name: str = "tracks.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        given = {"n_frames": 2, "shape": (50, 60), "pixel_size": 2e-7}
        return read_tracks(path, **{**given, **options})

    return call


@pytest.mark.parametrize("text", [CSV, XML, "\ufeff" + CSV, "\ufeff" + XML])
def test_files_of_trackmate_give_spots_in_pixels(read, text):
    pd.testing.assert_frame_equal(read(text), PLACES)


@pytest.mark.parametrize(
    "text",
    [
        "track,frame,x,y\n5,0,10,5\n5,1,12,6\n9,1,20,15\n",
        "particle;frame;x (px);y (px)\n5;0;10,0;5,0\n5;1;12,0;6,0\nnan;1;20;15\n",
        "track\tt\ty_um\tx_um\nA\t0\t1\t2\nA\t1\t1.2\t2.4\nB\t1\t3\t4\n",
        '"track","frame","object","y_px","y_nm","x_px","x_nm"\n'
        "5,0,1,5,,10,\n5,1,1,6,,12,\n9,1,2,15,,20,\n",
        "TRACK_ID,FRAME,POSITION_X,POSITION_Y\n1,0,10,5\n1,1,12,6\nNone,1,20,15\n",
    ],
)
def test_tables_give_spots_in_pixels(read, text):
    pd.testing.assert_frame_equal(read(text), PLACES)


def test_positions_of_a_calibrated_xml_need_no_pixel_size(read):
    pd.testing.assert_frame_equal(read(XML, pixel_size=None), PLACES)


def test_an_xml_without_an_image_takes_the_pixel_size_of_the_results(read):
    text = XML[: XML.index("  <Settings>")] + "</TrackMate>"
    pd.testing.assert_frame_equal(read(text), PLACES)
    with pytest.raises(SpinscopeError, match="positions are in micron, and the results have no"):
        read(text, pixel_size=None)


def test_without_a_list_of_shown_tracks_all_are_read(read):
    text = XML.replace('<FilteredTracks><TrackID TRACK_ID="3" /></FilteredTracks>', "")
    assert read(text)["track"].value_counts().tolist() == [2, 2, 1]


def test_edges_decide_which_spots_belong_together(read):
    """An identity that was swapped in the file, whatever the numbers of the tracks."""
    text = XML.replace('SPOT_TARGET_ID="8"', 'SPOT_TARGET_ID="9"')
    spots = read(text)
    together = spots[spots["track"] == spots["track"].iloc[0]]
    assert together[["y_px", "x_px"]].round(9).to_numpy().tolist() == [[5, 10], [15, 20]]


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><TrackMate/>'
OUTSIDE = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><TrackMate/>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "declares a document type.*not read"),
        (OUTSIDE, "declares a document type.*not read"),
        ("<kml></kml>", "no file of TrackMate: its first element is <kml>"),
        (XML[:900], "is not a readable XML file: .*line"),
        ('<?xml version="1.0" encoding="none-such"?><TrackMate/>', "is not a readable XML file"),
        ("<TrackMate></TrackMate>", "contains no spot"),
        (XML.replace('width="60"', 'width="61"'), "frames of 61x50 px; .* are 60x50"),
        (XML.replace('FRAME="1"', 'FRAME="2"'), "spot 8 lies in frame 2; .* frames 0 to 1"),
        (XML.replace('POSITION_X="2.4"', 'POSITION_X="NaN"'), "spot 8: x \\(='NaN'\\) must be"),
        (XML.replace('SPOT_TARGET_ID="8"', 'SPOT_TARGET_ID="80"'), "3 links spot '80', which"),
        (XML.replace('ID="9"', 'ID="8"'), "two spots have the ID '8'"),
        (
            XML.replace('SPOT_SOURCE_ID="7" SPOT_TARGET_ID="8" />',
                        'SPOT_SOURCE_ID="7" SPOT_TARGET_ID="8" />'
                        '<Edge SPOT_SOURCE_ID="7" SPOT_TARGET_ID="9" />'),
            "a track has 2 spots in frame 1, at y, x = \\(6.0, 12.0\\) and \\(15.0, 20.0\\) px",
        ),
        (XML.replace('pixelwidth="0.2"', 'pixelwidth="1e-300"'), "positions reach .* px; check"),
        ("", "no column track"),
        ("name,area\na,3\n", "is no table of tracks: it has no column track"),
        ("track,x,y\n1,2,3\n", "it has no column frame"),
        ("track,frame,x,y_um\n1,0,2,3\n", "no columns x and y of one unit"),
        ("track,frame,x,y\n1,0.5,2,3\n", "row 1: frame \\(='0.5'\\) must be an integer"),
        ("track,frame,x,y\n1,0,2,3\n1,1,two,3\n", "row 2: x \\(='two'\\) must be a finite number"),
        ("track,frame,x,y\n1,0\n", "row 1: y \\(=''\\) must be a finite number"),
        ("track,frame,x,y\n1,-1,2,3\n", "row 1 lies in frame -1; the recording has frames 0 to 1"),
        ("track,frame,x,y\n1,1e300,2,3\n", "row 1 lies in frame 1e\\+300"),
        ("track,frame,x,y\n1,0,2,3\n1,0,9,9\n", "a track has 2 spots in frame 0"),
        ("track,frame,x,y\n", "contains no spot"),
        (CSV.replace("micron", "inch"), "unit 'inch' of the positions must be px, nm"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not a readable table of tracks"),
        (b"track,frame,x,y\n1,0,\x00,3\n", "must be a finite number|is not a readable table"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(read, text, message):
    with pytest.raises(SpinscopeError, match=message):
        read(text)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(SpinscopeError, match=f"tracks {path} cannot be read"):
            read_tracks(path, n_frames=2)


def test_a_table_in_a_unit_needs_a_pixel_size(read):
    with pytest.raises(SpinscopeError, match="positions are in nm, and the results have no pixel"):
        read("track,frame,x_nm,y_nm\n1,0,200,300\n", pixel_size=None)


def test_a_large_xml_is_read_in_little_memory(tmp_path):
    """The text of the file is never in memory as a whole."""
    import tracemalloc

    n, path = 20_000, tmp_path / "large.xml"
    with path.open("w") as file:
        file.write('<TrackMate version="7"><Model spatialunits="pixel"><AllSpots>')
        for k in range(n):
            padding = f'name="{"x" * 400}"'
            file.write(
                f'<Spot ID="{k}" {padding} FRAME="{k % 2}" POSITION_X="{k}" POSITION_Y="1"/>'
            )
        file.write("</AllSpots></Model></TrackMate>")
    tracemalloc.start()
    spots = read_tracks(path, n_frames=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(spots["x_px"], np.arange(n)) and spots["track"].nunique() == n
    assert peak < path.stat().st_size / 1.2
