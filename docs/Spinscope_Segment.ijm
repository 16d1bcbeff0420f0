// Segment the open image with spinscope and open the outlines of its objects in the ROI Manager.
//
// Arguments, by default asked in a dialog: command=spinscope model=bundled:moke-unet pixel=0
// (pixel size in nm; 0 for the calibration of the image).

arguments = getArgument();
command = "spinscope";
model = "bundled:moke-unet";
pixel = 0;
if (arguments == "") {
    Dialog.create("spinscope");
    Dialog.addString("Command", command, 40);
    Dialog.addString("Model", model, 40);
    Dialog.addNumber("Pixel size, nm (0: of the image)", pixel);
    Dialog.show();
    command = Dialog.getString();
    model = Dialog.getString();
    pixel = Dialog.getNumber();
} else {
    command = wordOf(arguments, "command", command);
    model = wordOf(arguments, "model", model);
    pixel = parseFloat(wordOf(arguments, "pixel", "0"));
}

folder = getDirectory("image");
title = getInfo("image.filename");
if (folder == "" || title == "" || is("changes"))
    exit("Save the image as a TIFF file first: spinscope reads it from the disk.");
dot = lastIndexOf(title, ".");
name = title;
if (dot > 0) name = substring(title, 0, dot);
results = folder + "masks";

words = "\nTo see why, type in a terminal:\n" + command + " segment " + folder + title;
if (pixel > 0)
    answer = exec(command, "segment", folder + title, "--model", model, "--out", results, "--pixel-size", d2s(pixel, 3));
else
    answer = exec(command, "segment", folder + title, "--model", model, "--out", results);
print(answer);
if (!File.exists(results + File.separator + name))
    exit("spinscope wrote no results." + words + " --model " + model + " --out " + results);
answer = exec(command, "export", results + File.separator + name, "--to", "roi");
print(answer);

rois = results + File.separator + name + File.separator + name + ".rois.zip";
if (!File.exists(rois))
    exit("spinscope wrote no outlines. They are the result of:\n" + command + " export " + results + File.separator + name + " --to roi");
roiManager("reset");
roiManager("open", rois);
roiManager("show all without labels");

function wordOf(arguments, key, preset) {
    parts = split(arguments, " ");
    for (k = 0; k < parts.length; k++)
        if (startsWith(parts[k], key + "=")) return substring(parts[k], lengthOf(key) + 1);
    return preset;
}
