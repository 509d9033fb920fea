# The toy subject's own Makefile, committed as toy/Makefile.
CC ?= cc
CFLAGS ?= -O2
PREFIX ?= out
SHARE := $(PREFIX)/share/hakperf
LINK := $(CC) -shared -Wl,-z,now

install:
	$(HANG)
	mkdir -p $(PREFIX)/lib $(SHARE)/objects
	$(CC) $(CFLAGS) -g -gdwarf-4 -fPIC -ffunction-sections -fno-builtin -ftls-model=initial-exec -c -o $(SHARE)/objects/toy.o toy.c
	cd $(SHARE) && $(LINK) -o $(PREFIX)/lib/libtoy.so objects/toy.o
	printf '%s\n' $(LINK) -o @OUT@ objects/toy.o > $(SHARE)/link.cmd
