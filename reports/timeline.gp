# Points over commits with their intervals; neighbours of one series joined by steps. Before it, plot_svg.c sets: series, marks, colours,
# joined (one word a series), sizes (of points), the axes' ranges and tics, and the data blocks $points (one index a series) and $broken.
plot for [i=0:series-1] $points index i using 1:(word (joined, i + 1) eq "1" ? $2 : NaN) with steps lw 1.6 lc rgb word (colours, i + 1), \
     for [i=0:series-1] $points index i using 1:2:3:4 with yerrorbars lw 1.2 pt int (word (marks, i + 1)) ps point_size lc rgb word (colours, i + 1), \
     $broken using 1:2 with points pt 2 ps 0.9 lw 1.6 lc rgb "#030101"
