/* SPDX-License-Identifier: MIT */
/*
 * Overwrite channels: handover.pml with a ring of one record. A producer that
 * wants to go on evicts the oldest record, krepis_own_evict(), while consumers
 * try to take it, krepis_own_take().
 *
 * Always, besides: of take and evict exactly one wins each consumer's hold on
 * each publication; no taken hold is dropped by anybody but its consumer; a
 * consumer that comes too late takes nothing in the buffer's next life.
 */
#ifndef OVERWRITE
#error "to be built with -DOVERWRITE, for the C half too"
#endif
#include "handover.pml"
