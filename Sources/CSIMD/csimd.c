#define _GNU_SOURCE
#include "csimd.h"

#include <sched.h>
#include <stdlib.h>

int csimd_affinity_count(void) {
#if defined(__linux__)
  // 65,536 CPUs, more than the kernel supports.
  cpu_set_t *mask = CPU_ALLOC(65536);
  if (!mask) return 0;
  size_t size = CPU_ALLOC_SIZE(65536);
  CPU_ZERO_S(size, mask);
  int count = sched_getaffinity(0, size, mask) == 0 ? CPU_COUNT_S(size, mask) : 0;
  CPU_FREE(mask);
  return count;
#else
  return 0;
#endif
}

#if defined(__x86_64__)
#include <cpuid.h>

bool csimd_has_avx512(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd") && csimd_has_avx2();
}

bool csimd_has_avx512_vnni(void) { return csimd_has_avx512() && __builtin_cpu_supports("avx512vnni"); }

bool csimd_has_avx512_bf16(void) { return csimd_has_avx512() && __builtin_cpu_supports("avx512bf16"); }

bool csimd_has_avx2(void) {
  __builtin_cpu_init();
  unsigned eax, ebx, ecx, edx;
  // F16C (leaf 1, ECX bit 29), MOVBE, LZCNT and BMI come with every CPU that has AVX2, but a hypervisor may hide them.
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return false;
  bool f16c = ecx & (1u << 29), movbe = ecx & (1u << 22);
  if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx)) return false;
  bool lzcnt = ecx & (1u << 5);
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && f16c && movbe && lzcnt;
}

int csimd_amd_family(void) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx)) return 0;
  bool amd = ebx == signature_AMD_ebx && ecx == signature_AMD_ecx && edx == signature_AMD_edx;
  bool hygon = ebx == signature_HYGON_ebx && ecx == signature_HYGON_ecx && edx == signature_HYGON_edx;
  if (!amd && !hygon) return 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
  unsigned family = (eax >> 8) & 15;
  return (int)(family == 15 ? family + ((eax >> 20) & 255) : family);
}
#else
bool csimd_has_avx512(void) { return false; }
bool csimd_has_avx2(void) { return false; }
bool csimd_has_avx512_vnni(void) { return false; }
bool csimd_has_avx512_bf16(void) { return false; }
int csimd_amd_family(void) { return 0; }
#endif
