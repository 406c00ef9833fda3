/* Stands between weir and the disk: preloaded, it skips every fsync, or fails one.
 *
 * FSYNC_SHIM=skip          every fsync and fdatasync says 0 and does nothing
 * FSYNC_SHIM=fail          the call number FSYNC_SHIM_AT on a file under a folder "wal" says EIO and
 *                         leaves the file FSYNC_SHIM_MARK behind; calls after it work again, as they
 *                         do on Linux, so that a program which tries again believes all is well
 * FSYNC_SHIM=kill          once the file FSYNC_SHIM_MARK is there, the next fdatasync of such a file,
 *                         which is that of a frame, is made, and the process is killed before whoever
 *                         called it hears of its success
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int calls;

static int in_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    /* Made ahead of time and thrown away when that fails: they hold no frame. */
    if (strstr(path, "/wal/spare") || strstr(path, "/wal/reserve")) return 0;
    char *found = strstr(path, "/wal");
    return found && (found[4] == '/' || found[4] == 0);
}

static int sync_call(int fd, const char *name) {
    const char *mode = getenv("FSYNC_SHIM");
    if (mode && strcmp(mode, "skip") == 0) return 0;
    if (mode && strcmp(mode, "fail") == 0 && in_log(fd)) {
        const char *at = getenv("FSYNC_SHIM_AT");
        if (at && atomic_fetch_add(&calls, 1) + 1 == atoi(at)) {
            const char *mark = getenv("FSYNC_SHIM_MARK");
            int made = mark ? open(mark, O_CREAT | O_WRONLY, 0600) : -1;
            if (made >= 0) close(made);
            errno = EIO;
            return -1;
        }
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (mode && strcmp(mode, "kill") == 0 && strcmp(name, "fdatasync") == 0 && in_log(fd)) {
        const char *mark = getenv("FSYNC_SHIM_MARK");
        int armed = mark && access(mark, F_OK) == 0;
        int done = real(fd);
        if (armed && done == 0) kill(getpid(), SIGKILL);
        return done;
    }
    return real(fd);
}

int fsync(int fd) { return sync_call(fd, "fsync"); }
int fdatasync(int fd) { return sync_call(fd, "fdatasync"); }
