// Vector operations that Swift cannot spell or turns into scalar calls. Every function is inlined into its caller, and
// its width follows the instruction set that the importing Swift target is compiled for:
//   AVX-512: 16 floats, AVX2 + FMA + F16C: 8 floats, anything else: 4 floats.
// No loops over data and no decisions live here.
#ifndef CSIMD_H
#define CSIMD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define CSIMD_WIDTH 16
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define CSIMD_WIDTH 8
#else
#define CSIMD_WIDTH 4
#endif

#if CSIMD_WIDTH > 4
#include <immintrin.h>
#endif

#define CSIMD_INLINE static inline __attribute__((always_inline))

typedef float csimd_float __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef int32_t csimd_int __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef float csimd_float_unaligned __attribute__((ext_vector_type(CSIMD_WIDTH), aligned(4)));

// Whether the machine and its operating system offer an instruction set (defined in csimd.c).
bool csimd_has_avx512(void);
bool csimd_has_avx2(void);
// CPU vendor is AMD (or Hygon) and its family number; 0 for other vendors and other architectures.
int csimd_amd_family(void);
// CPUs in the calling thread's affinity mask; 0 when unknown.
int csimd_affinity_count(void);

// Tells the CPU that this is a spin loop.
CSIMD_INLINE void csimd_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Brings a cache line nearer that will be read, or written. Any address is allowed.
CSIMD_INLINE void csimd_prefetch(const float *p) { __builtin_prefetch(p, 0, 3); }
CSIMD_INLINE void csimd_prefetch_write(const float *p) { __builtin_prefetch(p, 1, 3); }

CSIMD_INLINE csimd_float csimd_load(const float *p) { return *(const csimd_float_unaligned *)p; }
CSIMD_INLINE void csimd_store(float *p, csimd_float v) { *(csimd_float_unaligned *)p = v; }

// The first `count` (0 <= count < width) elements; the rest is zero.
CSIMD_INLINE csimd_float csimd_load_first(const float *p, intptr_t count) {
#if CSIMD_WIDTH == 16
  return (csimd_float)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#else
  csimd_float v = 0;
  if (count > 0) memcpy(&v, p, (size_t)count * sizeof(float));
  return v;
#endif
}

CSIMD_INLINE void csimd_store_first(float *p, csimd_float v, intptr_t count) {
#if CSIMD_WIDTH == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#else
  if (count > 0) memcpy(p, &v, (size_t)count * sizeof(float));
#endif
}

CSIMD_INLINE csimd_float csimd_splat(float x) { return (csimd_float)x; }

// a * b + c, fused where the instruction set fuses.
CSIMD_INLINE csimd_float csimd_fma(csimd_float a, csimd_float b, csimd_float c) {
#if CSIMD_WIDTH > 4 || defined(__aarch64__)
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

CSIMD_INLINE csimd_float csimd_sqrt(csimd_float v) { return __builtin_elementwise_sqrt(v); }
CSIMD_INLINE csimd_float csimd_abs(csimd_float v) { return __builtin_elementwise_abs(v); }

// The larger / smaller element; where one is NaN the other is taken (callers that need NaN add it back).
CSIMD_INLINE csimd_float csimd_max(csimd_float a, csimd_float b) { return a > b ? a : b; }
CSIMD_INLINE csimd_float csimd_min(csimd_float a, csimd_float b) { return a < b ? a : b; }

// where `condition`'s elements are non-zero (comparison results): a, else b.
CSIMD_INLINE csimd_float csimd_select(csimd_int condition, csimd_float a, csimd_float b) { return condition ? a : b; }
CSIMD_INLINE csimd_int csimd_less(csimd_float a, csimd_float b) { return a < b; }
CSIMD_INLINE csimd_int csimd_is_nan(csimd_float a) { return a != a; }

CSIMD_INLINE csimd_int csimd_bits(csimd_float v) { return (csimd_int)v; }
CSIMD_INLINE csimd_float csimd_from_bits(csimd_int v) { return (csimd_float)v; }
CSIMD_INLINE float csimd_first(csimd_float v) { return v[0]; }
#if CSIMD_WIDTH == 16
// v * 2^n for integral n, with correct overflow and subnormal results.
CSIMD_INLINE csimd_float csimd_scale(csimd_float v, csimd_float n) {
  return (csimd_float)_mm512_scalef_ps((__m512)v, (__m512)n);
}
#endif
CSIMD_INLINE csimd_float csimd_convert(csimd_int v) { return __builtin_convertvector(v, csimd_float); }

// Sum of all elements, by halves.
CSIMD_INLINE float csimd_sum(csimd_float v) {
#if CSIMD_WIDTH == 16
  return _mm512_reduce_add_ps((__m512)v);
#elif CSIMD_WIDTH == 8
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

// Largest element of a vector without NaN.
CSIMD_INLINE float csimd_horizontal_max(csimd_float v) {
#if CSIMD_WIDTH == 16
  return _mm512_reduce_max_ps((__m512)v);
#else
  return __builtin_reduce_max(v);
#endif
}

#if CSIMD_WIDTH == 16
CSIMD_INLINE csimd_float csimd_from_half(const uint16_t *p) {
  return (csimd_float)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
CSIMD_INLINE void csimd_to_half(uint16_t *p, csimd_float v) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif CSIMD_WIDTH == 8
CSIMD_INLINE csimd_float csimd_from_half(const uint16_t *p) {
  return (csimd_float)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
CSIMD_INLINE void csimd_to_half(uint16_t *p, csimd_float v) {
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
}
#endif

// bfloat16 is the upper half of a float32.
typedef uint16_t csimd_short __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef uint16_t csimd_short_unaligned __attribute__((ext_vector_type(CSIMD_WIDTH), aligned(2)));
typedef uint32_t csimd_unsigned __attribute__((ext_vector_type(CSIMD_WIDTH)));

CSIMD_INLINE csimd_float csimd_from_bfloat16(const uint16_t *p) {
  csimd_short raw = *(const csimd_short_unaligned *)p;
  return (csimd_float)(__builtin_convertvector(raw, csimd_unsigned) << 16);
}

// Rounds to nearest even; every NaN becomes the quiet NaN of its sign.
CSIMD_INLINE void csimd_to_bfloat16(uint16_t *p, csimd_float v) {
  csimd_unsigned bits = (csimd_unsigned)v;
  csimd_unsigned rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);
  csimd_unsigned nan = (bits >> 16) | 0x40u;
  csimd_int is_nan = v != v;
  csimd_unsigned chosen = is_nan ? nan : rounded >> 16;
  *(csimd_short_unaligned *)p = __builtin_convertvector(chosen, csimd_short);
}

#endif
