/* The cable: a pseudo-terminal under a lasting name, or a file. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    const char *name; /* symbolic link to the pseudo-terminal; NULL where `file` is set */
    FILE *file;       /* takes all bytes; NULL where there is a port */
    int master;       /* -1 while the cable is out */
    int watch;        /* tells of openings */
} cable;

/* Put the cable in: a new pseudo-terminal in raw mode, and the name pointing to it. Exits where it cannot. */
void cable_plug(cable *link);

/* Pull it out: for whoever had the port open, the device is gone. */
void cable_unplug(cable *link);

/* Whether a program has the port open. */
bool cable_open(const cable *link);

/* Whether a program has opened the port since the last question. */
bool cable_opened(const cable *link);

/* Whether bytes from the host are waiting. */
bool cable_heard(const cable *link);

/* Give a byte to the host, waiting while it does not read; dropped where no program has the port open.
 * Returns false where it was dropped. */
bool cable_write(const cable *link, uint8_t byte);

/* Bytes from the host, at most `size`; 0 where there are none. */
size_t cable_read(const cable *link, uint8_t *bytes, size_t size);

#endif
