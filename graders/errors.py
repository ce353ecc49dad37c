"""What can go wrong while an environment is measured, and whose fault it is."""


class GraderError(Exception):
    """Something a grader cannot go on from. Its text is one sentence or two that a person reads."""


class EnvironmentFault(GraderError):
    """The contributed environment is at fault: its owner is shown the text, nothing is retried."""


class PlatformFault(GraderError):
    """The platform is at fault, not the environment: the job is retried."""


class ModelUnavailable(PlatformFault):
    """The reference model gave no usable answer; never counted as a reward of 0."""


class PromptTooLong(GraderError):
    """The conversation does not fit the reference model's context; asking again cannot help."""
