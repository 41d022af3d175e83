import Graph

extension Ladder {
  /// C (m × n) = A (m × k) · B (k × n).
  static func matrixProduct(small: Bool) throws -> Ladder {
    // Too few rows for Strassen's algorithm, which has a ladder of its own.
    let (m, n, k) = small ? (13, 35, 300) : (240, 1280, 960)
    return try product(
      "matrix product", m, n, k,
      ours: "B packed in panels, A in tiles, a register tile per instruction set, fused epilogue."
    ) { a, b in
      [
        Rung(name: "naive", sentence: "The definition: a dot product of a row and a column per element.") { c in
          for i in 0..<m {
            for j in 0..<n {
              var sum: Float = 0
              for x in 0..<k { sum += a[i * k + x] * b[x * n + j] }
              c[i * n + j] = sum
            }
          }
        },
        Rung(name: "rows", sentence: "Loops exchanged: B and C are read along their rows.") { c in
          for i in 0..<m {
            for j in 0..<n { c[i * n + j] = 0 }
            for x in 0..<k {
              let factor = a[i * k + x]
              for j in 0..<n { c[i * n + j] += factor * b[x * n + j] }
            }
          }
        },
        Rung(name: "blocked", sentence: "Blocks of B that stay in the cache serve all rows of A.") { c in
          blockedProduct(a, b, &c, m, n, k)
        },
        Rung(name: "vectorised", sentence: "A tile of 4 × 8 sums in registers, two vectors of four wide.") { c in
          tiledProduct(a, b, &c, m, n, k)
        },
      ]
    }
  }

  /// A product that is large enough for Strassen's algorithm.
  static func strassenProduct(small: Bool) throws -> Ladder {
    let (m, n, k) = small ? (257, 256, 514) : (512, 1280, 1280)
    return try product(
      "large matrix product", m, n, k,
      ours: "Strassen's algorithm: with AVX-512 and AVX2 49 products of a 64th instead of 64, elsewhere 7 of an eighth."
    ) { a, b in
      [
        Rung(name: "vectorised", sentence: "A tile of 4 × 8 sums in registers, two vectors of four wide.") { c in
          tiledProduct(a, b, &c, m, n, k)
        }
      ]
    }
  }

  /// The given rungs, then the engine's operator.
  private static func product(
    _ name: String, _ m: Int, _ n: Int, _ k: Int, ours sentence: String, rungs: ([Float], [Float]) -> [Rung]
  ) throws -> Ladder {
    let a = numbers(m * k, seed: 1)
    let b = numbers(k * n, seed: 2)
    let ours = try EngineOperator(
      "MatMul", domain: "", version: 13, inputs: [try tensor(a, [m, k]), try tensor(b, [k, n])])
    return Ladder(
      name: name, operations: 2 * Double(m * n * k), bytes: 4 * Double(m * k + k * n + m * n), outputCount: m * n,
      rungs: rungs(a, b) + [Rung(name: "ours", sentence: sentence) { try ours.run(into: &$0) }])
  }
}

private func blockedProduct(_ a: [Float], _ b: [Float], _ c: inout [Float], _ m: Int, _ n: Int, _ k: Int) {
  for index in c.indices { c[index] = 0 }
  let block = 64
  for firstX in stride(from: 0, to: k, by: block) {
    for firstJ in stride(from: 0, to: n, by: block) {
      for i in 0..<m {
        for x in firstX..<min(k, firstX + block) {
          let factor = a[i * k + x]
          for j in firstJ..<min(n, firstJ + block) { c[i * n + j] += factor * b[x * n + j] }
        }
      }
    }
  }
}

private func tiledProduct(_ a: [Float], _ b: [Float], _ c: inout [Float], _ m: Int, _ n: Int, _ k: Int) {
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      for firstJ in stride(from: 0, to: n, by: 8) {
        for firstI in stride(from: 0, to: m, by: 4) {
          guard firstJ + 8 <= n, firstI + 4 <= m else {
            for i in firstI..<min(m, firstI + 4) {
              for j in firstJ..<min(n, firstJ + 8) {
                var sum: Float = 0
                for x in 0..<k { sum += a[i * k + x] * b[x * n + j] }
                c[i * n + j] = sum
              }
            }
            continue
          }
          var c0 = SIMD8<Float>.zero
          var (c1, c2, c3) = (c0, c0, c0)
          for x in 0..<k {
            let row = UnsafeRawPointer(b.baseAddress.map { $0 + x * n + firstJ })?.loadUnaligned(as: SIMD8<Float>.self)
            guard let row else { continue }
            c0 += a[firstI * k + x] * row
            c1 += a[(firstI + 1) * k + x] * row
            c2 += a[(firstI + 2) * k + x] * row
            c3 += a[(firstI + 3) * k + x] * row
          }
          for (offset, sum) in [c0, c1, c2, c3].enumerated() {
            for j in 0..<8 { c[(firstI + offset) * n + firstJ + j] = sum[j] }
          }
        }
      }
    }
  }
}
