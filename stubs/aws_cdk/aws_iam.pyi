from constructs import Construct

class IManagedPolicy:
    @property
    def managed_policy_arn(self) -> str: ...

class IRole:
    def add_managed_policy(self, policy: IManagedPolicy) -> None: ...

class ManagedPolicy:
    @staticmethod
    def from_managed_policy_arn(scope: Construct, id: str, managed_policy_arn: str) -> IManagedPolicy: ...
