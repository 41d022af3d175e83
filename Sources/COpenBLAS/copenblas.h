// Types of the CBLAS calls that are looked up at run time (OpenBLAS 0.3, LP64: 32-bit sizes).
#ifndef COPENBLAS_H
#define COPENBLAS_H

enum { copenblas_row_major = 101, copenblas_no_transpose = 111, copenblas_transpose = 112 };

typedef void (*copenblas_dgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                                const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);
typedef void (*copenblas_sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                                const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void (*copenblas_set_num_threads)(int threads);

#endif
