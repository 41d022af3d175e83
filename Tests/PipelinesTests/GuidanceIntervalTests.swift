import Testing

@testable import Pipelines

@Suite struct GuidanceIntervalTests {
  @Test func wholeScheduleByDefault() {
    let interval = GuidanceInterval()
    for timestep in [0.0, 1, 500, 981, 999, 1000] {
      #expect(interval.contains(timestep: timestep, trainingTimesteps: 1000))
    }
  }

  /// Ends at exact timesteps, where 1 - timestep / training timesteps rounds either way.
  @Test(arguments: [(0.0, 0.4), (0.3, 0.7), (0.1, 0.9), (0.6, 1)])
  func halfOpen(start: Double, stop: Double) {
    let interval = GuidanceInterval(start: start, stop: stop)
    let (first, end) = (1000 - (start * 1000).rounded(), 1000 - (stop * 1000).rounded())
    #expect(interval.contains(timestep: first, trainingTimesteps: 1000))
    #expect(!interval.contains(timestep: first + 1, trainingTimesteps: 1000))
    #expect(interval.contains(timestep: end + 1, trainingTimesteps: 1000))
    #expect(interval.contains(timestep: end, trainingTimesteps: 1000) == (stop == 1))
  }

  @Test func emptyWhereBothAreEqual() {
    let interval = GuidanceInterval(start: 0.5, stop: 0.5)
    for timestep in 0..<1000 { #expect(!interval.contains(timestep: Double(timestep), trainingTimesteps: 1000)) }
  }
}
