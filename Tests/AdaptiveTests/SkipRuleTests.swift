import Support
import Testing

@testable import Adaptive

@Suite struct SkipRuleTests {
  static let context = SkipContext(
    calls: 10, schedulerClass: "DDIMScheduler", allowsCorrection: true, hasFeatureCache: false, images: 1)

  // MARK: Specifications

  @Test func textAndJSONMeanTheSame() throws {
    let text = try SkipSettings("third-order:delta=0.02,max_skip=2,per_image=true")
    let json = try SkipSettings(#"{"name": "third-order", "delta": 0.02, "max_skip": 2, "per_image": true}"#)
    #expect(text == json)
    #expect(json.text == "third-order:delta=0.02,max_skip=2,per_image=true")
    #expect(try SkipSettings(json.text) == json)
    #expect(text.isPerImage)
  }

  /// Bad text, status, and a word that the message or its expectation must hold.
  @Test(arguments: [
    ("third", Status.unknownName, "third-order, third-order-vector"), ("", .unknownName, "third-order"),
    ("third-order:gamma=1", .unknownName, "delta"), ("third-order:delta=x", .typeMismatch, "number"),
    ("third-order:delta=nan", .typeMismatch, "number"), ("third-order:delta=-1", .outOfRange, "0.0…100.0"),
    ("third-order:max_skip=1.5", .typeMismatch, "integer"), ("third-order:cap=none", .unknownName, "authors"),
    ("third-order:delta", .invalidArgument, "key=value"), ("third-order:", .invalidArgument, "key=value"),
    ("third-order:delta=1,delta=2", .invalidArgument, "twice"), ("third-order:warmup=3", .outOfRange, "4"),
    ("every:n=0", .outOfRange, "1"), ("every:per_image=yes", .typeMismatch, "true"),
    ("fixed-mask", .invalidArgument, "R"), ("fixed-mask:mask=SRR", .invalidArgument, "start"),
    ("fixed-mask:mask=RX", .invalidArgument, "P (partial)"), ("{", .corrupt, ""),
    (#"{"delta": 1}"#, .invalidArgument, "name"), (#"{"name": "every", "n": [1]}"#, .typeMismatch, "n"),
    ("step-control:tolerance=0", .outOfRange, "tolerance"), ("zeus:order=1", .unknownName, "period"),
  ])
  func badSpecifications(_ text: String, _ status: Status, _ word: String) {
    #expect {
      _ = try SkipSettings(text)
    } throws: { error in
      guard let failure = error as? Failure else { return false }
      return failure.status == status && failure.description.contains(word)
    }
  }

  /// What cannot be followed in this run is known before it starts.
  @Test func impossibleRunsAreRefused() throws {
    var context = Self.context
    #expect(throws: Failure.self) { _ = try SkipSettings("fixed-mask:mask=RRSS").makeRule(context) }
    _ = try SkipSettings("fixed-mask:mask=RRSS,resample=true").makeRule(context)
    #expect(throws: Failure.self) { _ = try SkipSettings("third-order:partial_delta=0.1").makeRule(context) }
    #expect(throws: Failure.self) {
      _ = try SkipSettings("fixed-mask:mask=RPRRRRRRRR").makeRule(context)
    }
    #expect(throws: Failure.self) {
      _ = try SkipSettings("step-control:budget=1,protect_last=1").makeRule(context)
    }
    context.hasFeatureCache = true
    _ = try SkipSettings("third-order:partial_delta=0.1").makeRule(context)
    #expect(throws: Failure.self) { _ = try SkipSettings("third-order:per_image=true").makeRule(context) }
    context.allowsCorrection = false
    #expect(throws: Failure.self) { _ = try SkipSettings("every:correct=true").makeRule(context) }
    _ = try SkipSettings("every").makeRule(context)
  }

  // MARK: Rules

  /// The authors' cap lets five skips pass before it can act, whatever its size; the corrected one does not.
  @Test func capOfTheAuthorsActsFromTheNinthCall() throws {
    func mask(_ text: String) throws -> String {
      let rule = try SkipSettings(text).makeRule(Self.context)
      var history = SkipHistory(calls: 12, logSNR: Array(repeating: 0, count: 12))
      for call in 0..<12 {
        history.actions.append(call == 0 ? .run : rule.decide(call: call, history).action)
        history.latentChanges.append(1)
      }
      return SkipMask(history.actions).text
    }
    #expect(try mask("third-order:max_skip=2") == "RRRRSSSSSRSS")
    #expect(try mask("third-order:max_skip=2,cap=correct") == "RRRRSSRSSRSS")
    #expect(try mask("third-order:max_skip=0,cap=correct") == "RRRRRRRRRRRR")
  }

  @Test func masksReplayAndStretch() throws {
    #expect(try SkipMask("RR01SEP").text == "RR0RSEP")
    let stretched = try SkipMask("R0R0").resampled(to: 7)
    #expect(stretched.text == "R000R00")
    #expect(stretched.resampled(to: 7) == stretched)
  }

  // MARK: Polynomials

  /// A quadratic is continued exactly, and the share of an unknown cubic's error is what interpolation through it gives.
  @Test func polynomialsAreExact() {
    let nodes = [3.0, 1.5, 0.5]
    func quadratic(_ x: Double) -> Double { 2 - x + 0.5 * x * x }
    let weights = Extrapolation.weights(nodes: nodes, position: 4)
    let value = zip(nodes, weights).reduce(0) { $0 + quadratic($1.0) * $1.1 }
    #expect(abs(value - quadratic(4)) < 1e-12)
    func cubic(_ x: Double) -> Double { quadratic(x) + x * x * x }
    func predicted(_ at: Double) -> Double {
      zip(nodes, Extrapolation.weights(nodes: nodes, position: at)).reduce(0) { $0 + cubic($1.0) * $1.1 }
    }
    let error = cubic(5) - predicted(5)
    let share = Extrapolation.share(nodes: nodes, known: 5, position: 4)
    #expect(abs(predicted(4) + share * error - cubic(4)) < 1e-10)
  }

  @Test func coincidingNodesAreUsedOnce() {
    #expect(Extrapolation.weights(nodes: [1, 1], position: 2) == [1, 0])
  }

  // MARK: Schedules and search

  @Test func wholeCallsOfTheFeatureCache() throws {
    #expect(try FeatureCacheSettings("deepcache:interval=3").wholeCalls(of: 10) == [0, 3, 6, 9])
    let quadratic = try FeatureCacheSettings("deepcache:interval=5,schedule=quadratic,center=0.3").wholeCalls(of: 50)
    #expect(quadratic.count >= 10 && quadratic.first == 0 && quadratic == quadratic.sorted())
    // Denser around the centre than at the end.
    let gaps = zip(quadratic.dropFirst(), quadratic).map { $0 - $1 }
    #expect((gaps.last ?? 0) > (gaps.min() ?? 0))
    #expect(throws: Failure.self) { _ = try FeatureCacheSettings("deepcache:interval=0") }
    #expect(throws: Failure.self) { _ = try FeatureCacheSettings("teacache") }
  }

  /// Against all masks of ten calls.
  @Test func dynamicProgrammingFindsTheBestMask() throws {
    let calls = 10
    func cost(_ before: Int, _ start: Int, _ end: Int) -> Double {
      let length = Double(end - start - 1)
      let mixed: Int = start * 7 + end * 3 + max(0, before) * 5
      return length * length * Double(mixed % 11 + 1)
    }
    for count in 4...9 {
      let found = try MaskSearch(calls: calls, maximumSkips: 3).best(count: count, cost: cost)
      var best = Double.infinity
      for bits in 0..<(1 << (calls - 1)) where bits.nonzeroBitCount == count - 1 {
        let runs = [0] + (1..<calls).filter { bits >> ($0 - 1) & 1 == 1 }
        guard zip(runs.dropFirst() + [calls], runs).allSatisfy({ $0 - $1 <= 4 }) else { continue }
        var total = 0.0
        for (index, start) in runs.enumerated() {
          total += cost(index > 0 ? runs[index - 1] : -1, start, index + 1 < runs.count ? runs[index + 1] : calls)
        }
        best = min(best, total)
      }
      #expect(found.cost == best)
      #expect(found.runs.count == count)
    }
    #expect(throws: Failure.self) { _ = try MaskSearch(calls: 10, maximumSkips: 1).best(count: 3, cost: cost) }
    // A call that must run is never left out; where no mask has it, that is said.
    let must: (Int, Int, Int) -> Double = { _, start, end in start < 5 && end > 5 ? .infinity : Double(end - start) }
    let search = MaskSearch(calls: 10, maximumSkips: 9)
    #expect(throws: Failure.self) { _ = try search.best(count: 1, cost: must) }
    #expect((try? search.best(count: 2, cost: must))?.runs == [0, 5])
  }
}
