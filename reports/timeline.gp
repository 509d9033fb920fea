# Points over commits with their intervals; neighbours of one series joined by steps. Before it, plot_svg.c sets: series, marks, colours,
# joined (one word a series), dense (1: intervals as a band, points as dots), point_size, the axes' ranges and tics, and the data blocks
# $points (one index a series) and $broken.
if (dense) {
	plot for [i=0:series-1] $points index i using 1:(word (joined, i + 1) eq "1" ? $2 : NaN) with steps lw 1.2 lc rgb word (colours, i + 1), \
	     for [i=0:series-1] $points index i using 1:3:4 with filledcurves fs transparent solid 0.25 noborder lc rgb word (colours, i + 1), \
	     for [i=0:series-1] $points index i using 1:2 with points pt int (word (marks, i + 1)) ps point_size lc rgb word (colours, i + 1), \
	     $broken using 1:2 with points pt 2 ps 0.9 lw 1.6 lc rgb "#030100"
} else {
	plot for [i=0:series-1] $points index i using 1:(word (joined, i + 1) eq "1" ? $2 : NaN) with steps lw 1.6 lc rgb word (colours, i + 1), \
	     for [i=0:series-1] $points index i using 1:3:(0):($4 - $3) with vectors nohead lw 2.4 lc rgb word (colours, i + 1), \
	     for [i=0:series-1] $points index i using 1:2 with points pt int (word (marks, i + 1)) ps point_size lc rgb word (colours, i + 1), \
	     $broken using 1:2 with points pt 2 ps 0.9 lw 1.6 lc rgb "#030100"
}
