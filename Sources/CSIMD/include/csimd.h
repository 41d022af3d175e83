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
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define CSIMD_INLINE static inline __attribute__((always_inline))

typedef float csimd_float __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef int32_t csimd_int __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef float csimd_float_unaligned __attribute__((ext_vector_type(CSIMD_WIDTH), aligned(4)));

// Whether the machine and its operating system offer an instruction set (defined in csimd.c).
bool csimd_has_avx512(void);
bool csimd_has_avx2(void);
// AVX-512 with dot products of bytes, and of bfloat16 pairs.
bool csimd_has_avx512_vnni(void);
bool csimd_has_avx512_bf16(void);
// Whether the machine has tiles for bfloat16 and bytes. The first call asks the operating system to let this process use
// them, which stands for its life.
bool csimd_may_use_tiles(void);
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

// Brings a cache line nearer that will be read, or written. Any address is allowed. `far`: to the second level only.
CSIMD_INLINE void csimd_prefetch_far(const float *p) { __builtin_prefetch(p, 0, 2); }
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

// The same with `fill` for the rest; count may be the width.
CSIMD_INLINE csimd_float csimd_load_first_or(const float *p, intptr_t count, float fill) {
#if CSIMD_WIDTH == 16
  return (csimd_float)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << count) - 1), p);
#else
  csimd_float v = fill;
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
// v minus the nearest integer; 0 for infinities, NaN for NaN.
CSIMD_INLINE csimd_float csimd_remainder(csimd_float v) {
  return (csimd_float)_mm512_reduce_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// v * 2^n for integral n, with correct overflow and subnormal results.
CSIMD_INLINE csimd_float csimd_scale(csimd_float v, csimd_float n) {
  return (csimd_float)_mm512_scalef_ps((__m512)v, (__m512)n);
}
#endif
// 1 / v within 2^-14; 0 for infinities, NaN for NaN.
CSIMD_INLINE csimd_float csimd_reciprocal_coarse(csimd_float v) {
#if CSIMD_WIDTH == 16
  return (csimd_float)_mm512_rcp14_ps((__m512)v);
#else
  return 1.0f / v;
#endif
}
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

CSIMD_INLINE csimd_int csimd_larger_integer(csimd_int a, csimd_int b) { return a > b ? a : b; }
CSIMD_INLINE int32_t csimd_largest_integer(csimd_int v) { return __builtin_reduce_max(v); }

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

// A word is 32 bits of a vector lane, handed around as a float whatever it holds.

// Two floats rounded to bfloat16 as the low and the high half of each word.
CSIMD_INLINE csimd_float csimd_pair(csimd_float low, csimd_float high) {
#if CSIMD_WIDTH == 16 && defined(__AVX512BF16__)
  // The conversion puts all low elements before all high ones; subnormals become zero.
  const __m512i interleaved = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  return (csimd_float)_mm512_permutexvar_epi16(interleaved, halves);
#else
  csimd_unsigned l = (csimd_unsigned)low, h = (csimd_unsigned)high;
  csimd_unsigned rounded_low = (l + 0x7FFFu + ((l >> 16) & 1u)) >> 16;
  csimd_unsigned rounded_high = (h + 0x7FFFu + ((h >> 16) & 1u)) & 0xFFFF0000u;
  csimd_int low_is_nan = low != low, high_is_nan = high != high;
  csimd_unsigned chosen_low = low_is_nan ? (l >> 16) | 0x40u : rounded_low;
  csimd_unsigned chosen_high = high_is_nan ? (h & 0xFFFF0000u) | 0x400000u : rounded_high;
  return (csimd_float)(chosen_low | chosen_high);
#endif
}

// The halves of each word as floats.
CSIMD_INLINE csimd_float csimd_low_half(csimd_float word) { return (csimd_float)((csimd_unsigned)word << 16); }
CSIMD_INLINE csimd_float csimd_high_half(csimd_float word) {
  return (csimd_float)((csimd_unsigned)word & 0xFFFF0000u);
}

#if CSIMD_WIDTH == 16 && defined(__AVX512BF16__)
// Rounds to nearest even in one instruction, which takes subnormals for zero.
CSIMD_INLINE void csimd_round_to_bfloat16(uint16_t *p, csimd_float v) {
  _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
// Two vectors, the first before the second, as one of words.
CSIMD_INLINE csimd_float csimd_round_two_to_bfloat16(csimd_float first, csimd_float second) {
  return (csimd_float)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}
// One vector's first `count` (0 < count < width) elements.
CSIMD_INLINE void csimd_round_first_to_bfloat16(uint16_t *p, csimd_float v, intptr_t count) {
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << count) - 1), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#endif

// sum + a.low * b.low + a.high * b.high in float32: the bfloat16 halves of each word.
CSIMD_INLINE csimd_float csimd_dot_pairs(csimd_float a, csimd_float b, csimd_float sum) {
#if CSIMD_WIDTH == 16 && defined(__AVX512BF16__)
  return (csimd_float)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  sum = csimd_fma(csimd_low_half(a), csimd_low_half(b), sum);
  return csimd_fma(csimd_high_half(a), csimd_high_half(b), sum);
#endif
}

// sum + the four products of unsigned bytes of `a` with signed bytes of `b`, in wrapping 32-bit integers.
CSIMD_INLINE csimd_float csimd_dot_bytes(csimd_float a, csimd_float b, csimd_float sum) {
#if CSIMD_WIDTH == 16 && defined(__AVX512VNNI__)
  return (csimd_float)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif CSIMD_WIDTH == 16
  __m512i u = (__m512i)a, s = (__m512i)b;
  __m512i even = _mm512_madd_epi16(
      _mm512_and_si512(u, _mm512_set1_epi16(0xFF)), _mm512_srai_epi16(_mm512_slli_epi16(s, 8), 8));
  __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(u, 8), _mm512_srai_epi16(s, 8));
  return (csimd_float)_mm512_add_epi32((__m512i)sum, _mm512_add_epi32(even, odd));
#elif CSIMD_WIDTH == 8
  __m256i u = (__m256i)a, s = (__m256i)b;
  __m256i even = _mm256_madd_epi16(
      _mm256_and_si256(u, _mm256_set1_epi16(0xFF)), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
  __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
  return (csimd_float)_mm256_add_epi32((__m256i)sum, _mm256_add_epi32(even, odd));
#elif defined(__SSE2__)
  __m128i u = (__m128i)a, s = (__m128i)b;
  __m128i even =
      _mm_madd_epi16(_mm_and_si128(u, _mm_set1_epi16(0xFF)), _mm_srai_epi16(_mm_slli_epi16(s, 8), 8));
  __m128i odd = _mm_madd_epi16(_mm_srli_epi16(u, 8), _mm_srai_epi16(s, 8));
  return (csimd_float)_mm_add_epi32((__m128i)sum, _mm_add_epi32(even, odd));
#else
  csimd_int u = (csimd_int)a, s = (csimd_int)b, total = (csimd_int)sum;
  total += (u & 255) * ((s << 24) >> 24);
  total += ((u >> 8) & 255) * ((s << 16) >> 24);
  total += ((u >> 16) & 255) * ((s << 8) >> 24);
  total += ((u >> 24) & 255) * (s >> 24);
  return (csimd_float)total;
#endif
}

// Words of integers as floats, and their difference in wrapping arithmetic.
CSIMD_INLINE csimd_float csimd_float_of_integers(csimd_float word) {
  return __builtin_convertvector((csimd_int)word, csimd_float);
}
CSIMD_INLINE csimd_float csimd_subtract_integers(csimd_float a, csimd_float b) {
  return (csimd_float)((csimd_unsigned)a - (csimd_unsigned)b);
}
CSIMD_INLINE csimd_float csimd_add_integers(csimd_float a, csimd_float b) {
  return (csimd_float)((csimd_unsigned)a + (csimd_unsigned)b);
}

// To the nearest integer, halves to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves the integer in the low bits.
CSIMD_INLINE csimd_int csimd_nearest(csimd_float v) {
  return (csimd_int)(v + 12582912.0f) - 0x4B400000;
}

typedef uint8_t csimd_byte __attribute__((ext_vector_type(CSIMD_WIDTH)));
typedef uint8_t csimd_byte_unaligned __attribute__((ext_vector_type(CSIMD_WIDTH), aligned(1)));

// 128 + the nearest integer to v * scale, as unsigned bytes; |v * scale| <= 127. Adding 1.5 * 2^23 leaves it in the low bits.
CSIMD_INLINE void csimd_store_offset_bytes(uint8_t *p, csimd_float v, csimd_float scale) {
  csimd_float shifted = csimd_fma(v, scale, (csimd_float)12583040.0f);
  *(csimd_byte_unaligned *)p = __builtin_convertvector((csimd_unsigned)shifted, csimd_byte);
}

// Four vectors to the nearest integers as the bytes of each word, the first lowest; |v| <= 127.
CSIMD_INLINE csimd_float csimd_quad(csimd_float v0, csimd_float v1, csimd_float v2, csimd_float v3) {
  csimd_int b0 = csimd_nearest(v0) & 255, b1 = csimd_nearest(v1) & 255;
  csimd_int b2 = csimd_nearest(v2) & 255, b3 = csimd_nearest(v3);
  return (csimd_float)(b0 | (b1 << 8) | (b2 << 16) | (csimd_int)((csimd_unsigned)b3 << 24));
}

// Signed byte `index` (0 ... 3) of each word as a float.
CSIMD_INLINE csimd_float csimd_signed_byte(csimd_float word, int index) {
  csimd_unsigned raised = (csimd_unsigned)word << (24 - 8 * index);
  return __builtin_convertvector((csimd_int)raised >> 24, csimd_float);
}

#if CSIMD_WIDTH == 16
// Columns 0 ... 3 of every quarter of four rows, as quarters of four vectors.
CSIMD_INLINE void csimd_transpose_quarters(const float *from, intptr_t stride, __m512 *c) {
  __m512 r0 = _mm512_loadu_ps(from), r1 = _mm512_loadu_ps(from + stride);
  __m512 r2 = _mm512_loadu_ps(from + 2 * stride), r3 = _mm512_loadu_ps(from + 3 * stride);
  __m512d a = (__m512d)_mm512_unpacklo_ps(r0, r1), b = (__m512d)_mm512_unpackhi_ps(r0, r1);
  __m512d d = (__m512d)_mm512_unpacklo_ps(r2, r3), e = (__m512d)_mm512_unpackhi_ps(r2, r3);
  c[0] = (__m512)_mm512_unpacklo_pd(a, d);
  c[1] = (__m512)_mm512_unpackhi_pd(a, d);
  c[2] = (__m512)_mm512_unpacklo_pd(b, e);
  c[3] = (__m512)_mm512_unpackhi_pd(b, e);
}
// Four columns of sixteen rows, four apart, from quarters of theirs.
CSIMD_INLINE void csimd_store_quarters(__m512 r0, __m512 r4, __m512 r8, __m512 r12, float *to, intptr_t stride) {
  __m512 a = _mm512_shuffle_f32x4(r0, r4, 0x88), b = _mm512_shuffle_f32x4(r0, r4, 0xdd);
  __m512 c = _mm512_shuffle_f32x4(r8, r12, 0x88), d = _mm512_shuffle_f32x4(r8, r12, 0xdd);
  _mm512_storeu_ps(to, _mm512_shuffle_f32x4(a, c, 0x88));
  _mm512_storeu_ps(to + 4 * stride, _mm512_shuffle_f32x4(b, d, 0x88));
  _mm512_storeu_ps(to + 8 * stride, _mm512_shuffle_f32x4(a, c, 0xdd));
  _mm512_storeu_ps(to + 12 * stride, _mm512_shuffle_f32x4(b, d, 0xdd));
}
// A square of width × width floats transposed; rows lie `stride` and `to_stride` apart.
CSIMD_INLINE void csimd_transpose(const float *from, intptr_t stride, float *to, intptr_t to_stride) {
  __m512 r0[4], r4[4], r8[4], r12[4];
  csimd_transpose_quarters(from, stride, r0);
  csimd_transpose_quarters(from + 4 * stride, stride, r4);
  csimd_transpose_quarters(from + 8 * stride, stride, r8);
  csimd_transpose_quarters(from + 12 * stride, stride, r12);
  csimd_store_quarters(r0[0], r4[0], r8[0], r12[0], to, to_stride);
  csimd_store_quarters(r0[1], r4[1], r8[1], r12[1], to + to_stride, to_stride);
  csimd_store_quarters(r0[2], r4[2], r8[2], r12[2], to + 2 * to_stride, to_stride);
  csimd_store_quarters(r0[3], r4[3], r8[3], r12[3], to + 3 * to_stride, to_stride);
}
#elif CSIMD_WIDTH == 8
CSIMD_INLINE void csimd_transpose_halves(const float *from, intptr_t stride, __m256 *c) {
  __m256 r0 = _mm256_loadu_ps(from), r1 = _mm256_loadu_ps(from + stride);
  __m256 r2 = _mm256_loadu_ps(from + 2 * stride), r3 = _mm256_loadu_ps(from + 3 * stride);
  __m256d a = (__m256d)_mm256_unpacklo_ps(r0, r1), b = (__m256d)_mm256_unpackhi_ps(r0, r1);
  __m256d d = (__m256d)_mm256_unpacklo_ps(r2, r3), e = (__m256d)_mm256_unpackhi_ps(r2, r3);
  c[0] = (__m256)_mm256_unpacklo_pd(a, d);
  c[1] = (__m256)_mm256_unpackhi_pd(a, d);
  c[2] = (__m256)_mm256_unpacklo_pd(b, e);
  c[3] = (__m256)_mm256_unpackhi_pd(b, e);
}
CSIMD_INLINE void csimd_store_halves(__m256 r0, __m256 r4, float *to, intptr_t stride) {
  _mm256_storeu_ps(to, _mm256_permute2f128_ps(r0, r4, 0x20));
  _mm256_storeu_ps(to + 4 * stride, _mm256_permute2f128_ps(r0, r4, 0x31));
}
// A square of width × width floats transposed; rows lie `stride` and `to_stride` apart.
CSIMD_INLINE void csimd_transpose(const float *from, intptr_t stride, float *to, intptr_t to_stride) {
  __m256 r0[4], r4[4];
  csimd_transpose_halves(from, stride, r0);
  csimd_transpose_halves(from + 4 * stride, stride, r4);
  csimd_store_halves(r0[0], r4[0], to, to_stride);
  csimd_store_halves(r0[1], r4[1], to + to_stride, to_stride);
  csimd_store_halves(r0[2], r4[2], to + 2 * to_stride, to_stride);
  csimd_store_halves(r0[3], r4[3], to + 3 * to_stride, to_stride);
}
#else
// A square of width × width floats transposed; rows lie `stride` and `to_stride` apart.
CSIMD_INLINE void csimd_transpose(const float *from, intptr_t stride, float *to, intptr_t to_stride) {
  csimd_float r0 = csimd_load(from), r1 = csimd_load(from + stride);
  csimd_float r2 = csimd_load(from + 2 * stride), r3 = csimd_load(from + 3 * stride);
  csimd_store(to, (csimd_float){r0[0], r1[0], r2[0], r3[0]});
  csimd_store(to + to_stride, (csimd_float){r0[1], r1[1], r2[1], r3[1]});
  csimd_store(to + 2 * to_stride, (csimd_float){r0[2], r1[2], r2[2], r3[2]});
  csimd_store(to + 3 * to_stride, (csimd_float){r0[3], r1[3], r2[3], r3[3]});
}
#endif

#include "cint16.h"
#include "ctiles.h"

#endif
