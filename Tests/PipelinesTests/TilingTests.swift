import Graph
import Runtime
import Support
import Testing

@testable import Pipelines

/// Pictures that are decoded in tiles.
@Suite struct TilingTests {
  @Test(arguments: [(64, 32), (12, 8), (9, 8), (8, 8), (5, 8), (100, 16), (17, 1)])
  func tilesCoverAnAxisAndSharesSumToOne(length: Int, tile: Int) {
    let axis = TileAxis(length: length, tile: tile)
    var totals = [Float](repeating: 0, count: 3 * length)
    for (index, start) in axis.starts.enumerated() {
      #expect(start >= 0 && start + axis.size <= length)
      for (pixel, share) in axis.shares(index, scale: 3).enumerated() {
        #expect(share > 0 && share <= 1)
        totals[3 * start + pixel] += share
      }
    }
    // A sum of at most a few shares, each rounded once.
    #expect(totals.allSatisfy { abs($0 - 1) < 1e-6 })
    #expect((axis.starts.count == 1) == (tile >= length))
  }

  /// The bundled model: tiles of 8 of 12 latent pixels. Each tile has its own GroupNorm statistics and sees nothing beyond
  /// its edges, so the pictures are close, not equal.
  @Test func tiledPicturesAreClose() throws {
    let folder = Fixtures.tests + "/../models/emoji-scenes"
    let pipeline = try Fixtures.open(folder)
    func picture(_ prompt: String, tiling: Int) throws -> Tensor {
      var options = GenerationOptions()
      options.steps = .fixed(8)
      options.seed = 1
      options.vaeTiling = tiling
      let result = try Session(pipeline: pipeline).generate(prompt: prompt, options: options)
      return try #require(result.images.first)
    }
    for prompt in ["a cat face on blue", "three apples on green"] {
      let whole = try picture(prompt, tiling: 0)
      let tiled = try picture(prompt, tiling: 8)
      #expect(tiled.shape == whole.shape)
      let psnr = PictureQuality.psnr(tiled, whole)
      #expect(psnr > 25 && psnr.isFinite, "\(prompt): \(psnr) dB")
      // Tiles as large as the picture are the picture.
      #expect(PictureQuality.psnr(try picture(prompt, tiling: 64), whole) == .infinity)
    }
  }
}
