import Support

extension SchedulerFactory {
  /// One line per diffusers class. A new scheduler is one file and one line here (docs/adding-a-scheduler.md).
  static let classes: [Entry] = [
    Entry(name: "DDIMScheduler") { request throws(Failure) in
      try DDIMScheduler(request.configuration, steps: request.steps, eta: request.eta ?? 0)
    }
  ]

  static let shortNames: [ShortName] = [
    ShortName(name: "ddim", className: "DDIMScheduler")
  ]
}
