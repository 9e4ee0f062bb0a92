from collections.abc import Mapping

from aws_cdk import CfnCondition, CfnParameter, CfnResource
from constructs import Construct

class CfnInclude(Construct):
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        template_file: str,
        parameters: Mapping[str, object] | None = None,
        preserve_logical_ids: bool | None = None,
    ) -> None: ...
    def get_condition(self, condition_name: str) -> CfnCondition: ...
    def get_parameter(self, parameter_name: str) -> CfnParameter: ...
    def get_resource(self, logical_id: str) -> CfnResource: ...
