// Processors, for programs that create a context for each. Link with -lmonitor_mos.


#ifndef MONITOR_CPU_H
#define MONITOR_CPU_H

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the number of processors that are online.
int GetNumCPUs(void);

// Binds the calling thread to a processor. EINVAL: no such processor.
int mtcp_core_affinitize(int cpu);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MONITOR_CPU_H */
