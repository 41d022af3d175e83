import Support

extension SchedulerFactory {
  /// One line per diffusers class. A new scheduler is one file and one line here (docs/adding-a-scheduler.md).
  static let classes: [Entry] = [
    Entry(name: "DDIMScheduler") { r throws(Failure) in
      try DDIMScheduler(r.configuration, steps: r.steps, eta: r.eta ?? 0)
    },
    Entry(name: "DDPMScheduler") { r throws(Failure) in try DDPMScheduler(r.configuration, steps: r.steps) },
    Entry(name: "PNDMScheduler") { r throws(Failure) in try PNDMScheduler(r.configuration, steps: r.steps) },
    Entry(name: "LMSDiscreteScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try LMSDiscreteScheduler(r.configuration, steps: r.steps)
    },
    Entry(name: "EulerDiscreteScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try EulerDiscreteScheduler(r.configuration, steps: r.steps)
    },
    Entry(name: "EulerAncestralDiscreteScheduler") { r throws(Failure) in
      try EulerAncestralDiscreteScheduler(r.configuration, steps: r.steps)
    },
    Entry(name: "HeunDiscreteScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try HeunDiscreteScheduler(r.configuration, steps: r.steps)
    },
    Entry(name: "DPMSolverMultistepScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try DPMSolverMultistepScheduler(r.configuration, steps: r.steps, mu: r.dynamicShift)
    },
    Entry(name: "DPMSolverSinglestepScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try DPMSolverSinglestepScheduler(r.configuration, steps: r.steps, mu: r.dynamicShift)
    },
    Entry(name: "UniPCMultistepScheduler", hasKarrasSigmas: true) { r throws(Failure) in
      try UniPCMultistepScheduler(r.configuration, steps: r.steps, mu: r.dynamicShift)
    },
    Entry(name: "LCMScheduler") { r throws(Failure) in try LCMScheduler(r.configuration, steps: r.steps) },
    Entry(name: "TCDScheduler") { r throws(Failure) in
      try TCDScheduler(r.configuration, steps: r.steps, eta: r.eta ?? 0.3)
    },
    Entry(name: "FlowMatchEulerDiscreteScheduler") { r throws(Failure) in
      try FlowMatchEulerDiscreteScheduler(r.configuration, steps: r.steps, mu: r.dynamicShift)
    },
  ]

  /// The names of k-diffusion and the user interfaces built on it.
  static let shortNames: [ShortName] = [
    ShortName(name: "ddim", className: "DDIMScheduler"),
    ShortName(name: "ddpm", className: "DDPMScheduler"),
    ShortName(name: "pndm", className: "PNDMScheduler"),
    ShortName(name: "lms", className: "LMSDiscreteScheduler"),
    ShortName(name: "euler", className: "EulerDiscreteScheduler"),
    ShortName(name: "euler_a", className: "EulerAncestralDiscreteScheduler"),
    ShortName(name: "heun", className: "HeunDiscreteScheduler"),
    ShortName(name: "dpmpp_2m", className: "DPMSolverMultistepScheduler", options: multistep("dpmsolver++", 2)),
    ShortName(name: "dpmpp_3m", className: "DPMSolverMultistepScheduler", options: multistep("dpmsolver++", 3)),
    ShortName(name: "dpmpp_2m_sde", className: "DPMSolverMultistepScheduler", options: multistep("sde-dpmsolver++", 2)),
    ShortName(name: "dpmpp_3m_sde", className: "DPMSolverMultistepScheduler", options: multistep("sde-dpmsolver++", 3)),
    ShortName(name: "dpmpp_2s", className: "DPMSolverSinglestepScheduler", options: multistep("dpmsolver++", 2)),
    ShortName(name: "unipc", className: "UniPCMultistepScheduler"),
    ShortName(name: "lcm", className: "LCMScheduler"),
    ShortName(name: "tcd", className: "TCDScheduler"),
    ShortName(name: "flow_euler", className: "FlowMatchEulerDiscreteScheduler"),
  ]

  private static func multistep(_ algorithm: String, _ order: Int) -> [String: JSON] {
    ["algorithm_type": .string(algorithm), "solver_order": JSON(order)]
  }
}
