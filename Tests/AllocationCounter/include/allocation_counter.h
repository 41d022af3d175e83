/* Counts the heap allocations of the calling thread. The program that links this takes over malloc and its relatives and
 * hands every call on to the C library (glibc). */
#pragma once

#include <stddef.h>

/* Sets the calling thread's count to zero and starts counting allocations of at least `smallest` bytes. */
void allocation_counter_start(size_t smallest);
/* Stops, and returns the number of allocations since the start. */
long allocation_counter_stop(void);
