// The four index registers, and what an index makes of an address.
// Does: hold them; register * stride added to a base, modulo 2^32; say whether the register is outside its count.
// Does not: know packets, or which of their fields is the base.
// Latency: the packet's register, count, stride and base are held from cycle 0 on; address_o and outside_o are right
// from cycle 3 on. A register that is written counts for packets that come in the next cycle. All are 0 after clear_i.
`default_nettype none
module vla_fetch_index (
  input  wire        clk_i,
  input  wire        rst_i,
  input  wire        clear_i,
  // registers
  input  wire        write_i,
  input  wire [1:0]  write_register_i,
  input  wire [15:0] write_value_i,
  // the packet at dispatch
  input  wire [1:0]  register_i,
  input  wire [15:0] count_i,
  input  wire [31:0] stride_i,
  input  wire [31:0] base_i,
  output wire [31:0] address_o,
  output wire        outside_o
);

  reg [15:0] registers_q [0:3];
  integer r;
  always @(posedge clk_i) begin
    for (r = 0; r < 4; r = r + 1) begin
      if (rst_i || clear_i)                           registers_q[r] <= 16'd0;
      else if (write_i && write_register_i == r[1:0]) registers_q[r] <= write_value_i;
    end
  end

  reg  [15:0] value_q;
  reg  [31:0] low_q;    // value times the low half of the stride
  reg  [15:0] high_q;   // and times its high half, modulo 2^16
  reg  [31:0] offset_q;
  reg         outside_q, outside_late_q;
  wire [31:0] high_unused = {16'd0, value_q} * {16'd0, stride_i[31:16]};

  always @(posedge clk_i) begin
    value_q        <= registers_q[register_i];
    low_q          <= {16'd0, value_q} * {16'd0, stride_i[15:0]};
    high_q         <= high_unused[15:0];
    outside_q      <= value_q >= count_i;
    offset_q       <= low_q + {high_q, 16'd0};
    outside_late_q <= outside_q;
  end

  assign address_o = base_i + offset_q;
  assign outside_o = outside_late_q;

endmodule
`default_nettype wire
