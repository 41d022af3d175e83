/* Counts the heap allocations of the calling thread. The program that links this takes over malloc and its relatives and
 * hands every call on to the C library (glibc). */
#pragma once

/* Sets the calling thread's count to zero and starts counting. */
void allocation_counter_start(void);
/* Stops, and returns the number of allocations since the start. */
long allocation_counter_stop(void);
