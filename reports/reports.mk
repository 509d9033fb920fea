# The gnuplot templates and the style sheet travel inside the program.
$(BUILD)/obj/reports/plot_svg.o: $(BUILD)/gen/reports/timeline.gp.h $(BUILD)/gen/reports/boxes.gp.h
$(BUILD)/obj/reports/html.o: $(BUILD)/gen/reports/page.css.h
