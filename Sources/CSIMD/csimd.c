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
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

bool csimd_may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  unsigned eax, ebx, ecx, edx;
  // Leaf 7: AMX with bfloat16 (EDX bit 22), with tiles at all (24), with bytes (25).
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  const unsigned needed = 1u << 22 | 1u << 24 | 1u << 25;
  if ((edx & needed) != needed || !csimd_has_avx512_vnni() || !csimd_has_avx512_bf16()) return false;
  // ARCH_REQ_XCOMP_PERM for the tile data (component 18); fails where the kernel knows none, or where a thread's
  // alternate signal stack is too small for them.
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

static __thread bool tiles_have_shape;

// The 64 bytes of LDTILECFG: palette 1, and for each of the eight registers 64 bytes per row and 16 rows.
static const struct {
  uint8_t palette, start, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} whole_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

__attribute__((target("amx-tile"))) void csimd_tiles_begin(void) {
  if (tiles_have_shape) return;
  __builtin_ia32_tile_loadconfig(&whole_tiles);
  tiles_have_shape = true;
}

__attribute__((target("amx-tile"))) void csimd_tiles_end(void) {
  if (!tiles_have_shape) return;
  __builtin_ia32_tilerelease();
  tiles_have_shape = false;
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
bool csimd_may_use_tiles(void) { return false; }
void csimd_tiles_begin(void) {}
void csimd_tiles_end(void) {}
int csimd_amd_family(void) { return 0; }
#endif
