import Support

/// The options of a `scheduler_config.json`, whatever class wrote it.
///
/// As diffusers' `from_config` does, a configuration made for one class loads into any other: keys that the other class
/// does not have are ignored, keys that it has and the file lacks take that class's defaults. `null` means the default.
public struct SchedulerConfiguration: Sendable {
  /// `_class_name`, where the file has one.
  public var className: String?
  private var values: [String: JSON]
  private var file: String?

  /// A configuration in which every option has the class's default.
  public init() { values = [:] }

  /// Throws `.corrupt` where the document is no object.
  public init(json: JSON, file: String? = nil) throws(Failure) {
    guard let members = json.object else {
      throw Failure(.corrupt, "a scheduler configuration is an object", file: file)
    }
    values = members
    self.file = file
    className = members["_class_name"]?.string
  }

  /// Reads and sets single options by their name in the file.
  public subscript(key: String) -> JSON? {
    get { values[key] }
    set { values[key] = newValue }
  }

  /// Steps of the noise schedule that the network was trained on. Throws `.outOfRange`.
  public var trainTimesteps: Int {
    get throws(Failure) {
      try integer("num_train_timesteps", default: 1000, in: 1...TrainingOptions.maximumTrainTimesteps)
    }
  }

  // MARK: Typed reading, for the solvers

  func optionalNumber(_ key: String) throws(Failure) -> Double? {
    guard let value = values[key], !value.isNull else { return nil }
    guard let number = value.double, !number.isNaN else { throw wrong(key, expected: "a number", value) }
    return number
  }

  func number(_ key: String, default standard: Double, in range: ClosedRange<Double>) throws(Failure) -> Double {
    let number = try optionalNumber(key) ?? standard
    guard range.contains(number) else {
      throw Failure(
        .outOfRange, "\(key) is out of range", file: file,
        expected: "\(range.lowerBound) to \(range.upperBound)", actual: "\(number)")
    }
    return number
  }

  func integer(_ key: String, default standard: Int, in range: ClosedRange<Int>) throws(Failure) -> Int {
    guard let value = values[key], !value.isNull else { return standard }
    guard let integer = value.int else { throw wrong(key, expected: "an integer", value) }
    guard range.contains(integer) else {
      throw Failure(
        .outOfRange, "\(key) is out of range", file: file,
        expected: "\(range.lowerBound) to \(range.upperBound)", actual: "\(integer)")
    }
    return integer
  }

  func flag(_ key: String, default standard: Bool = false) throws(Failure) -> Bool {
    guard let value = values[key], !value.isNull else { return standard }
    guard let flag = value.bool else { throw wrong(key, expected: "true or false", value) }
    return flag
  }

  func text(_ key: String) throws(Failure) -> String? {
    guard let value = values[key], !value.isNull else { return nil }
    guard let text = value.string else { throw wrong(key, expected: "a string", value) }
    return text
  }

  /// The option as a case of `Name`. A name that `aliases` does not translate and no case has is `.unsupported`.
  func name<Name: RawRepresentable & CaseIterable>(
    _ key: String, default standard: Name, aliases: [String: Name] = [:]
  ) throws(Failure) -> Name where Name.RawValue == String {
    guard let text = try text(key) else { return standard }
    if let value = Name(rawValue: text) ?? aliases[text] { return value }
    let known = Name.allCases.map { $0.rawValue }.joined(separator: ", ")
    throw Failure(.unsupported, "\(key) '\(text)' is not supported", file: file, expected: "one of \(known)")
  }

  func numbers(_ key: String) throws(Failure) -> [Double]? {
    guard let value = values[key], !value.isNull else { return nil }
    guard let elements = value.array else { throw wrong(key, expected: "a list of numbers", value) }
    var numbers: [Double] = []
    numbers.reserveCapacity(elements.count)
    for element in elements {
      guard let number = element.double, number.isFinite else {
        throw wrong(key, expected: "a list of finite numbers", element)
      }
      numbers.append(number)
    }
    return numbers
  }

  func failure(_ status: Status, _ message: String) -> Failure { Failure(status, message, file: file) }

  private func wrong(_ key: String, expected: String, _ value: JSON) -> Failure {
    Failure(
      .corrupt, "\(key) has the wrong type", file: file, expected: expected, actual: String(value.text.prefix(40)))
  }
}

/// `beta_schedule`.
enum BetaSchedule: String, CaseIterable {
  case linear
  case scaledLinear = "scaled_linear"
  case squaredCosine = "squaredcos_cap_v2"
  /// DDPM only.
  case sigmoid
  /// DDPM only.
  case laplace
  /// Heun only.
  case exponential = "exp"
}

/// `timestep_spacing`, Table 2 of Lin et al. 2024.
enum TimestepSpacing: String, CaseIterable {
  case leading
  case trailing
  case linspace
}

/// `final_sigmas_type`.
enum FinalSigma: String, CaseIterable {
  case zero
  case minimum = "sigma_min"
}

/// Which sequence the sigmas follow between their ends.
enum SigmaSpacing {
  case trained
  case karras
  case exponential
  case beta
}

/// The options that several classes share, read with one class's defaults.
struct TrainingOptions {
  var trainTimesteps: Int
  var betaStart: Double
  var betaEnd: Double
  var betaSchedule: BetaSchedule
  var trainedBetas: [Double]?
  var rescaleZeroSNR: Bool
  var prediction: PredictionType
  var spacing: TimestepSpacing
  var stepsOffset: Int

  /// More training steps than any published model by a factor of ten; keeps tables small.
  static let maximumTrainTimesteps = 10_000

  init(
    _ configuration: SchedulerConfiguration, betaStart: Double = 0.0001, betaEnd: Double = 0.02,
    betaSchedule: BetaSchedule = .linear, spacing: TimestepSpacing, canRescale: Bool, usesFlow: Bool = false
  ) throws(Failure) {
    trainTimesteps = try configuration.trainTimesteps
    self.betaStart = try configuration.number("beta_start", default: betaStart, in: 0...1)
    self.betaEnd = try configuration.number("beta_end", default: betaEnd, in: 0...1)
    self.betaSchedule = try configuration.name("beta_schedule", default: betaSchedule)
    trainedBetas = try configuration.numbers("trained_betas")
    rescaleZeroSNR = canRescale ? try configuration.flag("rescale_betas_zero_snr") : false
    prediction = try configuration.name(
      "prediction_type", default: .epsilon, aliases: ["original_sample": .sample])
    self.spacing = try configuration.name("timestep_spacing", default: spacing)
    stepsOffset = try configuration.integer("steps_offset", default: 0, in: 0...Self.maximumTrainTimesteps)
    // Flow is defined on straight paths only, velocity on variance preserving ones only.
    guard prediction != (usesFlow ? .velocity : .flow) else {
      throw configuration.failure(
        .unsupported,
        usesFlow
          ? "prediction_type 'v_prediction' does not go with flow sigmas"
          : "prediction_type 'flow_prediction' needs a scheduler with flow sigmas")
    }
    if let trainedBetas, trainedBetas.count != trainTimesteps {
      throw configuration.failure(
        .corrupt, "trained_betas has \(trainedBetas.count) entries, num_train_timesteps is \(trainTimesteps)")
    }
    if let bad = trainedBetas?.first(where: { $0 < 0 || $0 > 1 }) {
      throw configuration.failure(.outOfRange, "trained_betas holds \(bad); betas lie between 0 and 1")
    }
  }
}

extension SchedulerConfiguration {
  /// `thresholding` and `clip_sample`, for the classes that have them.
  func clamp(thresholding: Bool, clipDefault: Bool?) throws(Failure) -> OriginalClamp {
    if thresholding, try flag("thresholding") {
      let ratio = try number("dynamic_thresholding_ratio", default: 0.995, in: 0...1)
      let maximum = try number("sample_max_value", default: 1, in: 0...Double.greatestFiniteMagnitude)
      guard maximum > 0 else { throw failure(.outOfRange, "sample_max_value must be positive") }
      return .dynamic(ratio: ratio, maximum: maximum)
    }
    if let clipDefault, try flag("clip_sample", default: clipDefault) {
      return .range(try number("clip_sample_range", default: 1, in: 0...Double.greatestFiniteMagnitude))
    }
    return .none
  }

  /// `use_karras_sigmas`, `use_exponential_sigmas`, `use_beta_sigmas`: at most one.
  func sigmaSpacing() throws(Failure) -> SigmaSpacing {
    let chosen: [SigmaSpacing] = [
      try flag("use_karras_sigmas") ? .karras : nil,
      try flag("use_exponential_sigmas") ? .exponential : nil,
      try flag("use_beta_sigmas") ? .beta : nil,
    ].compactMap { $0 }
    guard chosen.count <= 1 else {
      throw failure(
        .invalidArgument, "only one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas can be true")
    }
    return chosen.first ?? .trained
  }
}
