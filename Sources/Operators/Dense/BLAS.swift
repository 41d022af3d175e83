import COpenBLAS
import CSIMD
import Glibc
import Kernels
import Support

/// OpenBLAS, loaded on first need for float64 products. Absent, the callers use
/// their own loops.
enum BLAS {
  struct Functions: @unchecked Sendable {
    let dgemm: copenblas_dgemm
  }

  static let functions: Functions? = {
    // A copy that the host has loaded already keeps the host's thread setting.
    let shared = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD) != nil
    if !shared, csimd_amd_family() >= 25, csimd_has_avx512() {
      // Releases up to 0.3.21 do not know AMD's AVX-512 and choose kernels of half the speed.
      setenv("OPENBLAS_CORETYPE", "SkylakeX", 0)
    }
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
      let dgemm = dlsym(library, "cblas_dgemm")
    else { return nil }
    if !shared, let symbol = dlsym(library, "openblas_set_num_threads") {
      unsafeBitCast(symbol, to: copenblas_set_num_threads.self)(1)
    }
    return Functions(dgemm: unsafeBitCast(dgemm, to: copenblas_dgemm.self))
  }()

  /// C (m × n) = A (m × k) · B (k × n) in float64, all row-major with the given row distances.
  static func product(
    m: Int, n: Int, k: Int, a: UnsafePointer<Double>, aStride: Int, b: UnsafePointer<Double>, bStride: Int,
    c: UnsafeMutablePointer<Double>, cStride: Int
  ) {
    guard m > 0, n > 0 else { return }
    if k > 0, let functions,
      let m32 = Int32(exactly: m), let n32 = Int32(exactly: n), let k32 = Int32(exactly: k),
      let lda = Int32(exactly: aStride), let ldb = Int32(exactly: bStride), let ldc = Int32(exactly: cStride)
    {
      let plain = Int32(copenblas_no_transpose)
      functions.dgemm(
        Int32(copenblas_row_major), plain, plain, m32, n32, k32, 1, a, lda, b, ldb, 0, c, ldc)
      return
    }
    for i in 0..<m {
      let row = c + i * cStride
      row.update(repeating: 0, count: n)
      for j in 0..<k {
        let factor = a[i * aStride + j]
        let source = b + j * bStride
        for x in 0..<n { row[x] += factor * source[x] }
      }
    }
  }
}
