#define _GNU_SOURCE
#include "link.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/inotify.h>
#include <termios.h>
#include <unistd.h>

void cable_plug(cable *link) {
    struct termios raw = {0};
    char path[256];
    char temporary[4096];
    int slave;
    if (openpty(&link->master, &slave, path, NULL, NULL) != 0) {
        err(1, "no pseudo-terminal");
    }
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave); /* so that the host's opening and closing can be seen */
    fcntl(link->master, F_SETFL, O_NONBLOCK);
    link->watch = inotify_init1(IN_NONBLOCK);
    if (link->watch < 0 || inotify_add_watch(link->watch, path, IN_OPEN) < 0) {
        err(1, "%s cannot be watched", path);
    }
    snprintf(temporary, sizeof temporary, "%s.new", link->name);
    unlink(temporary);
    if (symlink(path, temporary) != 0 || rename(temporary, link->name) != 0) {
        err(1, "%s", link->name);
    }
}

void cable_unplug(cable *link) {
    unlink(link->name);
    close(link->master);
    close(link->watch);
    link->master = link->watch = -1;
}

bool cable_open(const cable *link) {
    struct pollfd look = {link->master, POLLIN, 0};
    return link->master >= 0 && poll(&look, 1, 0) >= 0 && !(look.revents & POLLHUP);
}

bool cable_opened(const cable *link) {
    char events[4096];
    return read(link->watch, events, sizeof events) > 0;
}

bool cable_heard(const cable *link) {
    struct pollfd look = {link->master, POLLIN, 0};
    return link->master >= 0 && poll(&look, 1, 0) > 0 && (look.revents & POLLIN);
}

bool cable_write(const cable *link, uint8_t byte) {
    if (link->file) {
        return fputc(byte, link->file) != EOF;
    }
    while (cable_open(link)) {
        struct pollfd room = {link->master, POLLOUT, 0};
        if (write(link->master, &byte, 1) == 1) {
            return true;
        }
        poll(&room, 1, 100);
    }
    return false;
}

size_t cable_read(const cable *link, uint8_t *bytes, size_t size) {
    ssize_t got = link->master < 0 ? 0 : read(link->master, bytes, size);
    return got > 0 ? (size_t)got : 0;
}
