import Support

/// Makes schedulers by diffusers class name or by the short names of the field.
public enum SchedulerFactory {
  /// Every accepted name: diffusers classes, then short names. Short names also exist with `_karras` where the class
  /// has Karras sigmas.
  public static var names: [String] { classes.map { $0.name } + shortNames.map { $0.name } + karrasNames }

  /// A scheduler for one run of `steps` steps.
  ///
  /// - Parameters:
  ///   - className: a class such as `EulerDiscreteScheduler` or a short name such as `dpmpp_2m_karras`; nil takes
  ///     the configuration's own class. Throws `.unknownName`, listing the known ones, for any other.
  ///   - configuration: the pipeline's `scheduler_config.json`, of whatever class.
  ///   - steps: 1 to the number of training steps; `.outOfRange` otherwise.
  ///   - eta: noise of DDIM (default 0) and TCD (default 0.3), 0 to 1; other schedulers have none.
  ///   - dynamicShift: `mu` of flow schedulers with `use_dynamic_shifting`; see ``dynamicShift(imageTokens:_:)``.
  public static func make(
    className: String? = nil, configuration: SchedulerConfiguration, steps: Int, eta: Double? = nil,
    dynamicShift: Double? = nil
  ) throws(Failure) -> any Scheduler {
    guard let name = className ?? configuration.className else {
      throw Failure(.corrupt, "the scheduler configuration has no _class_name and the run names no scheduler")
    }
    let train = try configuration.integer(
      "num_train_timesteps", default: 1000, in: 1...TrainingOptions.maximumTrainTimesteps)
    guard steps >= 1, steps <= train else {
      throw Failure(.outOfRange, "the number of steps is out of range", expected: "1 to \(train)", actual: "\(steps)")
    }
    if let eta, !(eta >= 0 && eta <= 1) {
      throw Failure(.outOfRange, "eta is out of range", expected: "0 to 1", actual: "\(eta)")
    }
    let (entry, adjusted) = try resolve(name, configuration)
    return try entry.make(Request(configuration: adjusted, steps: steps, eta: eta, dynamicShift: dynamicShift))
  }

  /// Throws what `make` would throw for every number of steps: an unknown name or options that cannot be followed.
  ///
  /// For checks before anything expensive, when the number of steps is not yet known.
  public static func validate(
    className: String? = nil, configuration: SchedulerConfiguration, eta: Double? = nil
  ) throws(Failure) {
    do throws(Failure) {
      _ = try make(className: className, configuration: configuration, steps: 1, eta: eta, dynamicShift: 1)
    } catch {
      // Runge-Kutta starts need four steps, distilled and leading schedules hold only few.
      guard error.status == .outOfRange else { throw error }
      _ = try make(className: className, configuration: configuration, steps: 4, eta: eta, dynamicShift: 1)
    }
  }

  /// Whether `make` knows the name.
  public static func isKnown(_ name: String) -> Bool { names.contains(name) }

  struct Request {
    var configuration: SchedulerConfiguration
    var steps: Int
    var eta: Double?
    var dynamicShift: Double?
  }

  struct Entry: Sendable {
    var name: String
    var hasKarrasSigmas = false
    var make: @Sendable (Request) throws(Failure) -> any Scheduler
  }

  /// A class with some options fixed, under the name that people use.
  struct ShortName: Sendable {
    var name: String
    var className: String
    var options: [String: JSON] = [:]
  }

  private static var karrasNames: [String] {
    shortNames.filter { short in classes.contains { $0.name == short.className && $0.hasKarrasSigmas } }
      .map { $0.name + "_karras" }
  }

  private static func resolve(
    _ name: String, _ configuration: SchedulerConfiguration
  ) throws(Failure) -> (Entry, SchedulerConfiguration) {
    if let entry = classes.first(where: { $0.name == name }) { return (entry, configuration) }
    let wantsKarras = name.hasSuffix("_karras")
    let base = wantsKarras ? String(name.dropLast("_karras".count)) : name
    guard let short = shortNames.first(where: { $0.name == base }),
      let entry = classes.first(where: { $0.name == short.className }), !wantsKarras || entry.hasKarrasSigmas
    else {
      throw Failure(
        .unknownName, "unknown scheduler '\(name)'", expected: "one of \(names.joined(separator: ", "))")
    }
    var adjusted = configuration
    for (key, value) in short.options { adjusted[key] = value }
    if wantsKarras {
      adjusted["use_karras_sigmas"] = true
      adjusted["use_exponential_sigmas"] = false
      adjusted["use_beta_sigmas"] = false
    }
    return (entry, adjusted)
  }
}
