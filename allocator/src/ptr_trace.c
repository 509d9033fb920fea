#include "ptr_trace.h"

#if !HAKMEM_BUILD_RELEASE && HAKMEM_DEBUG_VERBOSE
__thread struct ptr_trace_entry g_ptr_trace[PTR_TRACE_ENTRIES];
__thread unsigned g_ptr_trace_at;
#else
/* A translation unit has to declare something. */
extern int ptr_trace_unused;
#endif
