// Products of 16-bit integers, two per word, for AVX2 and AVX-512.
#ifndef ADADIFF_CINT16_H
#define ADADIFF_CINT16_H

#include "csimd.h"

#if CSIMD_WIDTH >= 8

// sum + a.low * b.low + a.high * b.high in wrapping 32-bit integers: the signed 16-bit halves of each word.
CSIMD_INLINE csimd_float csimd_dot_int16(csimd_float a, csimd_float b, csimd_float sum) {
#if CSIMD_WIDTH == 16 && defined(__AVX512VNNI__)
  // Of the intrinsic the compiler makes two instructions in a chain, which has less latency and half the rate.
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
#elif CSIMD_WIDTH == 16
  return (csimd_float)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16((__m512i)a, (__m512i)b));
#else
  return (csimd_float)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#endif
}

// Two vectors to the nearest integers as the low and the high half of each word; |v| < 2^15.
CSIMD_INLINE csimd_float csimd_int16_pair(csimd_float low, csimd_float high) {
  return (csimd_float)((csimd_nearest(low) & 0xFFFF) | (csimd_int)((csimd_unsigned)csimd_nearest(high) << 16));
}

// The signed halves of each word as floats.
CSIMD_INLINE csimd_float csimd_low_int16(csimd_float word) {
  return __builtin_convertvector((csimd_int)((csimd_unsigned)word << 16) >> 16, csimd_float);
}
CSIMD_INLINE csimd_float csimd_high_int16(csimd_float word) {
  return __builtin_convertvector((csimd_int)word >> 16, csimd_float);
}

// Integers that fit 16 bits, and the nearest integers to v * scale.
CSIMD_INLINE void csimd_store_int16(int16_t *p, csimd_int v) {
#if CSIMD_WIDTH == 16
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)v));
#else
  __m256i i = (__m256i)v;
  _mm_storeu_si128((__m128i *)p, _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
#endif
}
CSIMD_INLINE void csimd_store_scaled_int16(int16_t *p, csimd_float v, csimd_float scale) {
  csimd_store_int16(p, (csimd_int)csimd_fma(v, scale, (csimd_float)12582912.0f) - 0x4B400000);
}

// Two vectors to the nearest integers as pairs of bytes; |v| <= 127.
CSIMD_INLINE void csimd_store_byte_pairs(uint16_t *p, csimd_float low, csimd_float high) {
  csimd_int pairs = (csimd_nearest(low) & 255) | (csimd_nearest(high) << 8);
  *(csimd_short_unaligned *)p = __builtin_convertvector((csimd_unsigned)pairs, csimd_short);
}

// Pairs of signed bytes as the 16-bit halves of each word.
CSIMD_INLINE csimd_float csimd_widen_bytes(const int8_t *p) {
#if CSIMD_WIDTH == 16
  return (csimd_float)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
#else
  return (csimd_float)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
#endif
}

#endif

#endif
