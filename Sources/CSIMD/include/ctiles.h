// Matrix instructions on tiles (Intel AMX): eight registers of up to 16 rows of 64 bytes. Registers are numbered in the
// instructions themselves, so that every function here has its own:
//   0, 1, 2, 3: sums, upper left, upper right, lower left and lower right, of up to 16 × 16 floats or 32-bit integers
//   4, 5: upper and lower rows of A, up to 16 words each
//   6, 7: left and right columns of B, up to 16 words deep
// A word holds two bfloat16 or four bytes that follow each other along the depth. Strides count bytes.
#ifndef CTILES_H
#define CTILES_H

// Included by csimd.h.

// Gives the calling thread's registers the shape of whole tiles, unless they have it since its last `begin`. Only where
// `csimd_may_use_tiles` said so.
void csimd_tiles_begin(void);
// Ends the thread's use of tiles, if there was any, so that a switch to another thread need not save them any more. Calls
// need not preserve tiles.
void csimd_tiles_end(void);

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__)

CSIMD_INLINE void csimd_tiles_zero_sums(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

CSIMD_INLINE void csimd_tiles_load_upper_left(const float *c, intptr_t stride) { _tile_loadd(0, c, stride); }
CSIMD_INLINE void csimd_tiles_load_upper_right(const float *c, intptr_t stride) { _tile_loadd(1, c, stride); }
CSIMD_INLINE void csimd_tiles_load_lower_left(const float *c, intptr_t stride) { _tile_loadd(2, c, stride); }
CSIMD_INLINE void csimd_tiles_load_lower_right(const float *c, intptr_t stride) { _tile_loadd(3, c, stride); }

CSIMD_INLINE void csimd_tiles_store_upper_left(float *c, intptr_t stride) { _tile_stored(0, c, stride); }
CSIMD_INLINE void csimd_tiles_store_upper_right(float *c, intptr_t stride) { _tile_stored(1, c, stride); }
CSIMD_INLINE void csimd_tiles_store_lower_left(float *c, intptr_t stride) { _tile_stored(2, c, stride); }
CSIMD_INLINE void csimd_tiles_store_lower_right(float *c, intptr_t stride) { _tile_stored(3, c, stride); }

CSIMD_INLINE void csimd_tiles_load_upper_rows(const float *a, intptr_t stride) { _tile_loadd(4, a, stride); }
CSIMD_INLINE void csimd_tiles_load_lower_rows(const float *a, intptr_t stride) { _tile_loadd(5, a, stride); }
CSIMD_INLINE void csimd_tiles_load_left_columns(const float *b, intptr_t stride) { _tile_loadd(6, b, stride); }
CSIMD_INLINE void csimd_tiles_load_right_columns(const float *b, intptr_t stride) { _tile_loadd(7, b, stride); }

// Sums += rows · columns of bfloat16 pairs; subnormals count as zero.
CSIMD_INLINE void csimd_tiles_pairs_upper_left(void) { _tile_dpbf16ps(0, 4, 6); }
CSIMD_INLINE void csimd_tiles_pairs_upper_right(void) { _tile_dpbf16ps(1, 4, 7); }
CSIMD_INLINE void csimd_tiles_pairs_lower_left(void) { _tile_dpbf16ps(2, 5, 6); }
CSIMD_INLINE void csimd_tiles_pairs_lower_right(void) { _tile_dpbf16ps(3, 5, 7); }

// The same of unsigned bytes of A and signed ones of B, in 32-bit integers.
CSIMD_INLINE void csimd_tiles_bytes_upper_left(void) { _tile_dpbusd(0, 4, 6); }
CSIMD_INLINE void csimd_tiles_bytes_upper_right(void) { _tile_dpbusd(1, 4, 7); }
CSIMD_INLINE void csimd_tiles_bytes_lower_left(void) { _tile_dpbusd(2, 5, 6); }
CSIMD_INLINE void csimd_tiles_bytes_lower_right(void) { _tile_dpbusd(3, 5, 7); }

#endif
#endif
