import Ladder
import Testing

/// The ladder programs, run small: every version of a kernel computes the same numbers.
@Suite struct LadderTests {
  @Test func rungsAgree() throws {
    for ladder in try Ladder.all(small: true) {
      var reference = [Float](repeating: 0, count: ladder.outputCount)
      try #require(ladder.rungs.first).run(&reference)
      let scale = reference.reduce(1e-30) { max($0, abs($1)) }
      for rung in ladder.rungs.dropFirst() {
        var output = [Float](repeating: .nan, count: ladder.outputCount)
        try rung.run(&output)
        let worst = zip(output, reference).reduce(Float(0)) {
          max($0, ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1))
        }
        #expect(worst < ladder.tolerance * scale, "\(ladder.name), \(rung.name)")
      }
    }
  }
}
