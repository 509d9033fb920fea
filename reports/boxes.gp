# Rectangles: a waterfall's steps or the cells of a heat map. $boxes: centre x, centre y, half a width, half a height, colour.
set style fill solid noborder
plot $boxes using 1:2:3:4:5 with boxxyerror lc rgb variable
