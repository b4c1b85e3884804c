// Checks of the programs beside it: statements that end the program, and a table of functions by name.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                             \
    do {                                                                                        \
        int error = errno;                                                                      \
        if (!(what)) {                                                                          \
            fprintf(stderr, "line %d: %s is false, errno %s\n", __LINE__, #what, strerror(error)); \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

// A call that must fail with an errno.
#define FAILS(call, number)        \
    do {                           \
        errno = 0;                 \
        CHECK((call) == -1);       \
        CHECK(errno == (number));  \
    } while (0)

struct check {
    const char *name;
    void (*check)(void);
};

#define NAMED(check) {#check, check}

// Runs the check of a name.
static void run(const struct check *checks, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(checks[i].name, name) == 0) {
            checks[i].check();
            return;
        }
    }
    fprintf(stderr, "there is no check %s\n", name);
    exit(2);
}
